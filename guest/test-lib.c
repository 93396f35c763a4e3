// SPDX-License-Identifier: GPL-2.0-only
/*
 * lib: what a VMM does, with libferry alone (examples/vmm.c). The old process puts memory,
 * an IOMMU, the card and some bytes under names into a session; the new one knows only the
 * session's name. Frames arrive all the time.
 *
 * Options: passed=1 has another process make the session, and retrieve it, and pass it on
 * over a socket; agent=1 has the agent hold it meanwhile; warm=, more=, cont=, fin=, timeout= as in dma; spoil=1 has the old kernel
 * leave the card out of the session (the control); damaged=1 means that the host damages the
 * directory between the kernels.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "../examples/vmm.h"
#include "dma.h"
#include "guest.h"
#include "kit.h"

#define VM_NAME	"vm0"

static struct dma d;
static struct vmm vm;

static int vm_error(int rc)
{
	return rc ? v_error(rc, vmm_error(&vm)) : 0;
}

static bool is_passed(void *p)
{
	(void)p;
	return opt_u64("passed", 0) || opt_u64("agent", 0);
}

static bool is_held(void *p)
{
	(void)p;
	return opt_u64("agent", 0);
}

static bool is_spoilt(void *p)
{
	(void)p;
	return opt_u64("spoil", 0);
}

static bool is_whole(void *p)
{
	return !is_spoilt(p);
}

/* ---- the command: its output goes to the log ---- */

#define FERRY(...) \
	run_program("/bin/ferry", (char *const[]){ "ferry", __VA_ARGS__, NULL }, NULL)

/* Before the VMM has it, and while it has. */
static int check_says_yes(void *p)
{
	(void)p;
	return want(FERRY("check", d.bdf), 0, "ferry check");
}

static int check_says_no(void *p)
{
	int bad = 0;

	(void)p;
	bad |= want(FERRY("check", d.bdf), 1, "ferry check, the card is in use");
	bad |= want(FERRY("check", "--json", "0000:00:1f.0"), 1, "ferry check, of a bridge");
	bad |= want(FERRY("check", "0000:00:1e.7"), 1, "ferry check, of nothing");
	return bad;
}

static int status_says_who(void *p)
{
	(void)p;
	return want(FERRY("status"), 0, "ferry status");
}

static int report_says_kept(void *p)
{
	(void)p;
	return want(FERRY("report"), 0, "ferry report");
}

/* Loaded, dropped, and loaded again. */
static int load(void *p)
{
	char line[4096];
	int bad = 0, rc = cmdline_next(line, sizeof(line));

	(void)p;
	if (rc)
		return v_error(rc, "the next command line");
	bad |= want(FERRY("go", "--yes"), 1, "ferry go, nothing is loaded");
	bad |= want(FERRY("load", "/init", "--reuse-cmdline"), 1, "ferry load, no kernel");
	bad |= want(FERRY("load", NEXT_KERNEL, "--reuse-cmdline"), 0, "ferry load");
	bad |= want(kexec_loaded(), 1, "it is loaded");
	bad |= want(FERRY("abort"), 0, "ferry abort");
	bad |= want(kexec_loaded(), 0, "it is not loaded any more");
	bad |= want(FERRY("load", NEXT_KERNEL, "--initrd", NEXT_INITRD, "--command-line", line),
		    0, "ferry load");
	return bad;
}

/* ---- another process, that makes sessions ---- */

static int send_fd(int to, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(to, &msg, 0) == 1 ? 0 : -errno;
}

static int recv_fd(int from)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	int fd;

	if (recvmsg(from, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -EIO;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static int make_and_send(int to)
{
	struct ferry_session *s;
	struct ferry_host *h;
	int rc = ferry_host_new(&h);

	if (!rc)
		rc = cmdline_stage() > 1 ? ferry_session_retrieve(h, VM_NAME, &s) :
					   ferry_session_create(h, VM_NAME, &s);
	return rc ? rc : send_fd(to, ferry_session_fd(s));
}

/* That process is gone when this returns: the file descriptor is all there is. */
static int get_from_other(void)
{
	int pair[2], status, fd;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	pid = fork();
	if (!pid)
		_exit(make_and_send(pair[1]) ? 1 : 0);
	close(pair[1]);
	fd = pid < 0 ? -EAGAIN : recv_fd(pair[0]);
	close(pair[0]);
	if (pid > 0)
		waitpid(pid, &status, 0);
	return fd;
}

#define AGENT	"/agent.sock"

/* It goes on until the jump. */
static int start_agent(struct ferry_host *h, struct ferry_agent **agent)
{
	unsigned int i;
	int rc = -1;
	pid_t pid = fork();

	if (!pid) {
		execl("/bin/ferry", "ferry", "agent", "serve", "--socket", AGENT, NULL);
		_exit(127);
	}
	for (i = 0; pid > 0 && rc && i < 500; i++) {
		usleep(10000);
		rc = ferry_agent_connect(h, AGENT, agent);
	}
	return rc;
}

/* One process has it made and put there, this one takes it. */
static int get_from_agent(void)
{
	const char *verb = cmdline_stage() > 1 ? "retrieve" : "create";
	struct ferry_agent *agent;
	struct ferry_host *h;
	int fd = -1, rc = ferry_host_new(&h), bad = 0;

	if (!rc)
		rc = start_agent(h, &agent);
	if (rc)
		return rc;
	bad |= want(FERRY("agent", (char *)verb, VM_NAME, "--socket", AGENT), 0, verb);
	bad |= want(FERRY("agent", (char *)verb, VM_NAME, "--socket", AGENT), 1, "once more");
	bad |= want(FERRY("show", VM_NAME, "--socket", AGENT), cmdline_stage() > 1 ? 0 : 1,
		    "ferry show");
	rc = ferry_agent_take(agent, VM_NAME, &fd);
	if (rc)
		v_error(rc, ferry_host_error(h));
	ferry_agent_close(agent);
	ferry_host_free(h);
	return rc ? rc : bad ? -EIO : fd;
}

static int get_passed(void *p)
{
	return is_held(p) ? get_from_agent() : get_from_other();
}

static int get_session(void *p)
{
	int fd;

	if (!is_passed(p))
		return vm_error(vmm_open(&vm, VM_NAME));
	fd = get_passed(p);
	return fd < 0 ? v_error(fd, "the other process") : vm_error(vmm_adopt(&vm, fd));
}

/* ---- the old kernel ---- */

/* What the driver of the card knows is where the VMM says it is. */
static void show_to_driver(void)
{
	d.mem = vm.mem;
	d.vfio = ferry_device_fd(vm.nic);
	dma_look_at_memory(&d);
}

static int start(void *p)
{
	struct ferry_mapping window = {
		.size = sizeof(window), .flags = FERRY_MAP_READ, .offset = OFF_TX_BUF,
		.length = TX_BUF_LEN, .iova = DEFAULT_IOVA + RO_IOVA_OFF,
	};
	int rc = vmm_start(&vm, d.bdf, MEM_LEN, DEFAULT_IOVA);

	(void)p;
	window.memory = vm.ram;
	if (!rc)
		rc = ferry_iommu_map(vm.iommu, &window);
	if (rc)
		return vm_error(rc);
	show_to_driver();
	d.state->magic = STATE_MAGIC;
	d.state->mem_len = MEM_LEN;
	d.state->iova = DEFAULT_IOVA;
	d.state->seed = now_ms();
	pattern_fill((uint8_t *)d.mem + OFF_PATTERN, PATTERN_LEN, d.state->seed);
	pattern_fill(vm.state.vcpu, sizeof(vm.state.vcpu), d.state->seed);
	vm.state.counter = d.state->seed;
	return 0;
}

static int old_send(void *p)
{
	(void)p;
	return dma_send(&d, d.nic.tx_bufs, DEFAULT_IOVA + RO_IOVA_OFF, TX_FRAMES_OLD);
}

static int preserve(void *p)
{
	(void)p;
	return vm_error(vmm_preserve(&vm));
}

/* Without the card, which the kernel stops then. */
static int preserve_less(void *p)
{
	int fd = make_memfd("other", MEM_LEN, &d.mem), rc;
	struct ferry_memory *other;

	(void)p;
	vmm_stop(&vm);
	rc = fd < 0 ? fd : vmm_open(&vm, VM_NAME);
	if (!rc)
		rc = ferry_memory_adopt(vm.session, "ram", fd, &other);
	return vm_error(rc ? rc : vmm_preserve(&vm));
}

static int is_frozen(void *p)
{
	int bad = 0;

	(void)p;
	bad |= want(ferry_iommu_unmap(vm.iommu, DEFAULT_IOVA, MEM_LEN), -EBUSY, "unmap");
	bad |= want(ferry_device_detach(vm.nic), -EBUSY, "detach");
	bad |= want(ferry_device_close(vm.nic), -EBUSY, "close");
	bad |= want(ferry_session_preserve(vm.session), -EALREADY, "preserve again");
	v_note("%s", ferry_session_error(vm.session));
	return bad;
}

/* What was preserved can be taken back, and the card moves on all the time. */
static int back_out(void *p)
{
	int rc;

	(void)p;
	ferry_session_unpreserve(vm.session);
	rc = ferry_iommu_unmap(vm.iommu, DEFAULT_IOVA + RO_IOVA_OFF, TX_BUF_LEN);
	if (!rc) {
		struct ferry_mapping window = {
			.size = sizeof(window), .flags = FERRY_MAP_READ, .memory = vm.ram,
			.offset = OFF_TX_BUF, .length = TX_BUF_LEN,
			.iova = DEFAULT_IOVA + RO_IOVA_OFF,
		};

		rc = ferry_iommu_map(vm.iommu, &window);
	}
	return vm_error(rc ? rc : vmm_preserve(&vm));
}

static bool can_back_out(void *p)
{
	return !is_passed(p) && is_whole(p);
}

static const struct step old_kernel[] = {
	STEP("the card is bound to vfio-pci", dma_bind_driver),
	CHECK("ferry check says that it can be kept", check_says_yes),
	STEP("there is a session", get_session),
	STEP("memory, IOMMU and card have names in it", start),
	CHECK("ferry check says what cannot be kept", check_says_no),
	CHECK("ferry status says who has the session", status_says_who),
	STEP("the receive ring is up", dma_ring_up),
	SYNC("ready"),
	STEP("frames arrive", dma_frames_arrive),
	STEP("frames are sent", old_send),
	STEP("ferry load loads the next kernel, ferry abort drops it", load),
	STEP_WHEN("the session is preserved", preserve, is_whole),
	STEP_WHEN("a session without the card is preserved", preserve_less, is_spoilt),
	CHECK_WHEN("changes are refused from here on", is_frozen, is_whole),
	STEP_WHEN("it is taken back, and preserved again", back_out, can_back_out),
	STEP_WHEN("DMA goes on", dma_goes_on, is_whole),
	SYNC("preserved"),
	STEP_WHEN("frames are contiguous and written down", dma_write_down, is_whole),
	SYNC("kexec"),
};

/* ---- the new kernel ---- */

static int resume(void *p)
{
	int fd, rc;

	if (is_passed(p)) {
		fd = get_passed(p);
		if (fd < 0)
			return v_error(fd, "the other process");
		rc = vmm_adopt(&vm, fd);
		if (!rc)
			rc = vmm_take_over(&vm);
	} else {
		rc = vmm_resume(&vm, VM_NAME);
	}
	if (rc)
		return vm_error(rc);
	show_to_driver();
	v_info("ids", "dev %u ioas %u hwpt %u", ferry_device_id(vm.nic),
	       ferry_iommu_ioas(vm.iommu), ferry_device_hwpt(vm.nic));
	return 0;
}

static int names_are_there(void *p)
{
	static const char *const names[] = { "ram", "dma", "nic" };
	struct ferry_object o = { .size = sizeof(o) };
	unsigned int i;

	(void)p;
	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (ferry_session_object(vm.session, i, &o) || strcmp(o.name, names[i]) ||
		    !o.present)
			return v_error(0, names[i]);
	return want(ferry_session_object(vm.session, i, &o), -ENOENT, "one more");
}

static int mappings_are_there(void *p)
{
	struct ferry_mapping m = { .size = sizeof(m) };
	int bad = 0;

	(void)p;
	bad |= want(ferry_iommu_mapping(vm.iommu, 0, &m), 0, "the first");
	bad |= m.iova != DEFAULT_IOVA || m.length != MEM_LEN || m.memory != vm.ram ||
	       m.offset || m.flags != (FERRY_MAP_READ | FERRY_MAP_WRITE);
	bad |= want(ferry_iommu_mapping(vm.iommu, 1, &m), 0, "the second");
	bad |= m.iova != DEFAULT_IOVA + RO_IOVA_OFF || m.length != TX_BUF_LEN ||
	       m.offset != OFF_TX_BUF || m.flags != FERRY_MAP_READ;
	bad |= want(ferry_iommu_mapping(vm.iommu, 2, &m), -ENOENT, "a third");
	return bad ? -EIO : 0;
}

static int state_is_there(void *p)
{
	(void)p;
	if (vm.state.counter != d.state->seed || vm.state.iova != DEFAULT_IOVA ||
	    pattern_check(vm.state.vcpu, sizeof(vm.state.vcpu), d.state->seed))
		return v_error(0, "the bytes are not what they were");
	return 0;
}

static int memory_is_there(void *p)
{
	(void)p;
	if (d.state->magic != STATE_MAGIC || d.state->mem_len != MEM_LEN ||
	    pattern_check((uint8_t *)d.mem + OFF_PATTERN, PATTERN_LEN, d.state->seed))
		return v_error(0, "the memory is not what it was");
	return 0;
}

static int final_count(void *p)
{
	int rc = dma_ring_is_consistent(&d);

	(void)p;
	frames_scan(&d.rx, &d.nic);
	frames_report(&d.rx);
	return d.rx.holes || d.rx.dups || d.rx.corrupt ? -EIO : rc;
}

static int finish(void *p)
{
	(void)p;
	return vm_error(vmm_finish(&vm));
}

static int frames_after(void *p)
{
	int rc;

	(void)p;
	e1000e_replenish(&d.nic, d.rx.next);
	rc = dma_wait_frames(&d, opt_u64("fin", 100));
	return rc ? rc : dma_ring_is_consistent(&d);
}

/* New memory under a new name, read by the card, unmapped and closed. */
static int more_memory(void *p)
{
	struct ferry_mapping m = {
		.size = sizeof(m), .flags = FERRY_MAP_READ, .length = NEW_LEN,
		.iova = DEFAULT_IOVA + NEW_IOVA_OFF,
	};
	void *mem = MAP_FAILED;
	int rc;

	(void)p;
	rc = ferry_memory_create(vm.session, "more", NEW_LEN, &m.memory);
	if (!rc)
		rc = ferry_iommu_map(vm.iommu, &m);
	if (rc)
		return vm_error(rc);
	mem = mmap(NULL, NEW_LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
		   ferry_memory_fd(m.memory), 0);
	if (mem == MAP_FAILED)
		return v_error(-errno, "mmap");
	rc = dma_send(&d, mem, m.iova, TX_FRAMES_NEW);
	v_info("tx_sent", "%llu", (unsigned long long)d.state->tx_seq);
	munmap(mem, NEW_LEN);
	if (!rc)
		rc = vm_error(ferry_iommu_unmap(vm.iommu, m.iova, m.length));
	return rc ? rc : vm_error(ferry_memory_close(m.memory));
}

/* For the update after this one. */
static int preserve_again(void *p)
{
	int rc = vmm_preserve(&vm);

	(void)p;
	if (rc)
		return vm_error(rc);
	rc = is_frozen(p);
	ferry_session_unpreserve(vm.session);
	return rc;
}

static int stop(void *p)
{
	(void)p;
	pci_set(d.bdf, "power/control", "on");
	d.bus_reset = !pci_set(d.bdf, "reset_method", "bus");
	munmap((void *)d.nic.bar, d.nic.bar_len);
	vmm_stop(&vm);
	return 0;
}

static const struct step new_kernel[] = {
	CHECK("vfio-pci has bound the card by itself", dma_bound_by_itself),
	CHECK("the card is a bus master", dma_still_mastering),
	SYNC("booted"),
	STEP("all is retrieved by the name of the session", resume),
	STEP("memory is intact", memory_is_there),
	SYNC("retrieved"),
	CHECK("the names are there", names_are_there),
	CHECK("the mappings are there", mappings_are_there),
	CHECK("the VMM's bytes are there", state_is_there),
	STEP("the registers are mapped", dma_map_registers),
	CHECK("frames are contiguous", dma_frames_are_whole),
	CHECK("frames arrived during the kexec", dma_frames_crossed),
	CHECK("filled descriptors are as many as the card says", dma_ring_is_consistent),
	CHECK("more frames arrive in new descriptors", dma_replenish),
	SYNC("continued"),
	CHECK("the final count is whole", final_count),
	CHECK("the session is finished", finish),
	SYNC("finished"),
	CHECK_WHEN("ferry report says that it was kept", report_says_kept, is_held),
	CHECK("frames arrive after that", frames_after),
	CHECK("new memory is mapped, read by the card, unmapped", more_memory),
	CHECK("all of it can be preserved again", preserve_again),
	STEP("the VMM stops", stop),
	SYNC("closed"),
	CHECK("the card is reset", dma_device_is_reset),
};

/* Nothing of a damaged directory is believed, and the card does not run on without an owner. */
static int is_damaged(void *p)
{
	struct ferry_object o = { .size = sizeof(o) };
	struct ferry_memory *ram;
	int bad = 0;

	(void)p;
	bad |= want(vmm_resume(&vm, VM_NAME), -EBADMSG, "resume");
	v_note("%s", vmm_error(&vm));
	bad |= want(ferry_session_object(vm.session, 0, &o), -EBADMSG, "the first object");
	bad |= want(ferry_memory_retrieve(vm.session, "ram", &ram), -EBADMSG, "the memory");
	bad |= dma_still_mastering(&d);
	return bad;
}

static int give_up(void *p)
{
	(void)p;
	vmm_stop(&vm);
	return 0;
}

static const struct step new_kernel_damaged[] = {
	CHECK("vfio-pci has bound the card by itself", dma_bound_by_itself),
	SYNC("booted"),
	CHECK("a damaged directory is refused, and nothing is lost by that", is_damaged),
	SYNC("retrieved"),
	STEP("the session is closed", give_up),
	CHECK("the card is stopped", dma_is_stopped),
	SYNC("abandoned"),
};

int test_lib(unsigned int stage)
{
	int rc;

	dma_init(&d);
	if (stage > 1 && opt_u64("damaged", 0))
		return v_run(new_kernel_damaged, ARRAY_SIZE(new_kernel_damaged), &d);
	if (stage > 1)
		return v_run(new_kernel, ARRAY_SIZE(new_kernel), &d);
	rc = v_run(old_kernel, ARRAY_SIZE(old_kernel), &d);
	if (rc)
		return rc;
	v_drain();
	v_error(FERRY("go", "--yes"), "ferry go");
	return VERDICT_FAIL;
}
