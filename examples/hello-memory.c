// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Memory that lives through a change of the kernel.
 *
 *	hello-memory keep	makes a session with some text in memory, and holds it
 *	hello-memory get	in the new kernel: prints the text
 *
 * cc hello-memory.c $(pkg-config --cflags --libs libferry)
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ferry.h>

#define TEXT	"Hello from the other kernel.\n"

static int keep(struct ferry_host *host, struct ferry_session **s)
{
	struct ferry_memory *memory;
	int rc = ferry_session_create(host, "hello", s);

	if (!rc)
		rc = ferry_memory_create(*s, "text", 4096, &memory);
	if (!rc && pwrite(ferry_memory_fd(memory), TEXT, sizeof(TEXT), 0) != sizeof(TEXT))
		rc = -1;
	if (!rc)
		rc = ferry_session_preserve(*s);
	if (!rc) {
		puts("preserved; kexec now. Enter gives it up.");
		/* In the background nobody can press it */
		if (getchar() == EOF)
			pause();
	}
	return rc;
}

static int get(struct ferry_host *host, struct ferry_session **s)
{
	char text[sizeof(TEXT)] = "";
	struct ferry_memory *memory;
	int rc = ferry_session_retrieve(host, "hello", s);

	if (!rc)
		rc = ferry_memory_retrieve(*s, "text", &memory);
	if (!rc && pread(ferry_memory_fd(memory), text, sizeof(text) - 1, 0) < 0)
		rc = -1;
	fputs(text, stdout);
	return rc ? rc : ferry_session_finish(*s);
}

int main(int argc, char **argv)
{
	int wants_it = argc == 2 && !strcmp(argv[1], "get"), rc;
	struct ferry_session *s = NULL;
	struct ferry_host *host;

	if (ferry_host_new(&host))
		return 1;
	rc = wants_it ? get(host, &s) : keep(host, &s);
	if (rc)
		fprintf(stderr, "%s\n", s ? ferry_session_error(s) : ferry_host_error(host));
	ferry_session_close(s);
	ferry_host_free(host);
	return rc ? 1 : 0;
}
