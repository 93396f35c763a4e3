// SPDX-License-Identifier: GPL-2.0-only
/* Writes the records that the parser's tests know, with one of their faults: RECORDS [N]. */
#include "../../kernel/overlay/drivers/iommu/liveupdate-parse.h"

#include "../../kernel/overlay/drivers/iommu/liveupdate-parse-vectors.h"

static struct vec_image image;

int main(int argc, char **argv)
{
	vec_build(&image);
	if (argc > 1)
		vec_apply(&image, &vec_record_changes[atoi(argv[1]) %
						      ARRAY_SIZE(vec_record_changes)]);
	fwrite(image.mem, sizeof(image.mem), 1, stdout);
	return 0;
}
