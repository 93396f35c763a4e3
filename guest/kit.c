// SPDX-License-Identifier: GPL-2.0-only
/* A device and what is needed to preserve it, see kit.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "guest.h"
#include "kit.h"

int want(int rc, int wanted, const char *what)
{
	if (rc == wanted)
		return 0;
	v_note("%s: got %d, wanted %d", what, rc, wanted);
	return -EIO;
}

static void drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int open_iommu(struct kit *k, unsigned int parts)
{
	int rc;

	rc = iommufd_ioas_alloc(k->iommufd, &k->ioas);
	if (rc)
		return v_error(rc, "IOMMU_IOAS_ALLOC");
	if (parts & KIT_MAP) {
		rc = iommufd_map_file(k->iommufd, k->ioas, k->memfd, 0, KIT_MEM,
				      KIT_IOVA, true);
		if (rc)
			return v_error(rc, "IOMMU_IOAS_MAP_FILE");
	}
	if (parts & KIT_HWPT) {
		rc = iommufd_hwpt_alloc(k->iommufd, k->dev, k->ioas, &k->hwpt);
		if (rc)
			return v_error(rc, "IOMMU_HWPT_ALLOC");
	}
	if (parts & KIT_ATTACH) {
		rc = vfio_attach(k->vfio, k->hwpt);
		if (rc)
			return v_error(rc, "VFIO_DEVICE_ATTACH_IOMMUFD_PT");
	}
	if (parts & KIT_MARK) {
		rc = iommufd_mark(k->iommufd, k->hwpt, 1, 0);
		if (rc)
			return v_error(rc, "IOMMU_HWPT_LIVEUPDATE");
	}
	return 0;
}

/* A VF whose PF is with vfio-pci is only bound with the token of the PF. */
int kit_open_with(struct kit *k, const char *bdf, unsigned int parts,
		  const uint8_t *vf_token)
{
	int rc;

	memset(k, 0, sizeof(*k));
	k->memfd = k->iommufd = k->vfio = k->luo = k->session = -1;
	strncpy(k->bdf, bdf, sizeof(k->bdf) - 1);
	if (parts & KIT_MEMFD) {
		k->memfd = make_memfd("kit", KIT_MEM, &k->mem);
		if (k->memfd < 0)
			return v_error(k->memfd, "memfd");
		memset(k->mem, 0x5a, KIT_MEM);
	}
	k->iommufd = iommufd_open();
	if (k->iommufd < 0)
		return v_error(k->iommufd, "open /dev/iommu");
	k->vfio = vfio_open(k->bdf);
	if (k->vfio < 0)
		return v_error(k->vfio, "open the VFIO device");
	rc = vfio_bind_token(k->vfio, k->iommufd, &k->dev, vf_token);
	if (rc)
		return v_error(rc, "VFIO_DEVICE_BIND_IOMMUFD");
	rc = parts ? open_iommu(k, parts) : 0;
	if (!rc && parts & KIT_SESSION)
		rc = kit_session(k, "kit");
	return rc;
}

int kit_open(struct kit *k, const char *bdf, unsigned int parts)
{
	return kit_open_with(k, bdf, parts, NULL);
}

/* The device first, then its IOMMU, then the memory. */
void kit_close(struct kit *k)
{
	kit_end_session(k);
	drop(&k->vfio);
	drop(&k->iommufd);
	if (k->mem)
		munmap(k->mem, KIT_MEM);
	k->mem = NULL;
	drop(&k->memfd);
}

int kit_session(struct kit *k, const char *name)
{
	k->luo = luo_open();
	if (k->luo < 0)
		return v_error(k->luo, "open /dev/liveupdate");
	k->session = luo_create(k->luo, name);
	return k->session < 0 ? v_error(k->session, "create a session") : 0;
}

void kit_end_session(struct kit *k)
{
	drop(&k->session);
	drop(&k->luo);
}

int kit_preserve_memfd(struct kit *k)
{
	return luo_preserve(k->session, k->memfd, KIT_TOKEN);
}

int kit_preserve_iommufd(struct kit *k)
{
	return luo_preserve(k->session, k->iommufd, KIT_TOKEN + 1);
}

int kit_preserve_vfio(struct kit *k)
{
	return luo_preserve(k->session, k->vfio, KIT_TOKEN + 2);
}

int kit_preserve(struct kit *k)
{
	int rc = kit_preserve_memfd(k);

	if (!rc)
		rc = kit_preserve_iommufd(k);
	return rc ? rc : kit_preserve_vfio(k);
}

/* Nothing is frozen: what a preserve would refuse works, and is undone. */
int kit_mutable(struct kit *k)
{
	uint32_t hwpt;
	int bad = 0;

	bad |= want(iommufd_unmap(k->iommufd, k->ioas, KIT_IOVA, KIT_MEM), 0,
		    "unmap");
	bad |= want(iommufd_map_file(k->iommufd, k->ioas, k->memfd, 0, KIT_MEM,
				     KIT_IOVA, true), 0, "map");
	bad |= want(iommufd_hwpt_alloc(k->iommufd, k->dev, k->ioas, &hwpt), 0,
		    "a new page table");
	bad |= want(iommufd_destroy(k->iommufd, hwpt), 0, "destroy it");
	bad |= want(vfio_detach(k->vfio), 0, "detach");
	bad |= want(vfio_attach(k->vfio, k->hwpt), 0, "attach");
	bad |= want(vfio_reset(k->vfio), 0, "VFIO_DEVICE_RESET");
	return bad;
}

/* The command says no for the reason that the kernel will give. */
int kit_check_says_no(char *bdf, const char *reason)
{
	char *const argv[] = { "ferry", "check", bdf, NULL };
	char out[4096];
	const char *no;
	int bad;

	bad = want(run_program("/bin/ferry", argv, "/tmp/check"), 1,
		   "ferry check");
	if (read_file("/tmp/check", out, sizeof(out)) < 0)
		return v_error(0, "what ferry check wrote");
	no = strstr(out, "  no  ");
	if (no && strstr(no, reason))
		return bad;
	v_note("ferry check %s: %s", bdf, no ? no : out);
	return -EIO;
}
