// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files that depend on other files of their session, and files that nobody
 * knows.
 *
 * A callback that is called for one file of a session may look up another: in
 * the old kernel to learn the token of a file that it needs and that must have
 * been preserved before, in the new kernel to get that file back, which may call
 * the callback of the other file. Because finish and unpreserve run in reverse
 * order of preservation, a file that insists on its dependency being preserved
 * first can rely on being finished first.
 *
 * A file whose compatible string has no handler when /dev/liveupdate is opened
 * gets the placeholder handler of this file, and loses it again as soon as its
 * own is registered: the handler is looked for when the file is retrieved and
 * when its session is finished, and the module "luo-COMPATIBLE" is asked for.
 * When there is still none, the file cannot be retrieved, which does not hurt
 * others, and finish drops it. Nobody can tell what it was: all its memory stays
 * reserved, and if it was the owner of a device, that device still does DMA to
 * the memory of files that were preserved before. That is what the mark
 * "leaked" of a session is for: from then on what files of this session hold
 * for devices is not freed either. Handlers that could not stop a device set it,
 * too.
 *
 * Locks: everything here is called with the mutex of the session held, which
 * covers the list of files and the mark. Nothing here can fail except the
 * lookups.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/export.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_refuse.h>
#include <linux/lockdep.h>
#include <linux/printk.h>
#include "luo_internal.h"

/**
 * liveupdate_get_token_outgoing - Token of a file that this session preserves
 * @session: as given to the callback
 * @file: the file, or another struct file of the same thing
 * @tokenp: set on success
 *
 * Context: from a callback of the old kernel (preserve, unpreserve, freeze or
 * unfreeze), with the mutex of the session held.
 * Return: 0, or -ENOENT if @file has not been preserved in this session.
 */
int liveupdate_get_token_outgoing(struct liveupdate_session *session,
				  struct file *file, u64 *tokenp)
{
	return liveupdate_get_outgoing(session, file, tokenp, NULL);
}
EXPORT_SYMBOL_GPL(liveupdate_get_token_outgoing);

/**
 * liveupdate_session_name - What a session is called, for messages
 * @session: as given to the callback
 *
 * Context: from a callback of @session.
 * Return: its name
 */
const char *liveupdate_session_name(struct liveupdate_session *session)
{
	return luo_session_of(luo_session_files(session))->name;
}
EXPORT_SYMBOL_GPL(liveupdate_session_name);

/**
 * luo_refuse_file - Say why no handler was asked to preserve a file
 * @file_set: of the session
 * @token: that the file was to have
 * @err: -ENOENT without a handler, -EBUSY when a session has the file already, or
 * brought it to this kernel and is not finished
 *
 * Return: @err
 */
int luo_refuse_file(struct luo_file_set *file_set, u64 token, int err)
{
	const char *why = "no file of this kind can be kept";

	if (err == -EBUSY)
		why = "it is in a session, or came with an unfinished one";
	return liveupdate_refuse("luo", err, "session %s, token %#llx: %s",
				 luo_session_of(file_set)->name, token, why);
}

/**
 * liveupdate_get_file_incoming - Get a file that this session has brought
 * @session: as given to the callback
 * @token: its token
 * @filep: set on success, the caller has to fput() it
 *
 * The file is retrieved if nobody has done it yet.
 *
 * Context: from retrieve(), with the mutex of the session held. Not with locks
 * held that the other file's retrieve() takes.
 * Return: 0, or what LIVEUPDATE_SESSION_RETRIEVE_FD returns for @token, -EDEADLK
 * if that file is waiting for the caller's.
 */
int liveupdate_get_file_incoming(struct liveupdate_session *session, u64 token,
				 struct file **filep)
{
	return luo_retrieve_file(luo_session_files(session), token, filep);
}
EXPORT_SYMBOL_GPL(liveupdate_get_file_incoming);

/**
 * liveupdate_session_leak - A device of this session could not be stopped
 * @session: as given to the callback
 *
 * Files of this session that are finished later do not free what they hold for
 * devices. Cannot be undone.
 *
 * Context: from retrieve() or finish(), with the mutex of the session held.
 */
void liveupdate_session_leak(struct liveupdate_session *session)
{
	struct luo_file_set *file_set = luo_session_files(session);

	lockdep_assert_held(&luo_session_of(file_set)->mutex);
	file_set->leaked = true;
}
EXPORT_SYMBOL_GPL(liveupdate_session_leak);

/**
 * liveupdate_session_leaked - May a device of this session still do DMA?
 * @session: as given to the callback
 *
 * Context: from finish(), with the mutex of the session held.
 * Return: true if the memory that files hold for devices must not be freed.
 */
bool liveupdate_session_leaked(struct liveupdate_session *session)
{
	struct luo_file_set *file_set = luo_session_files(session);

	lockdep_assert_held(&luo_session_of(file_set)->mutex);
	return file_set->leaked;
}
EXPORT_SYMBOL_GPL(liveupdate_session_leaked);

static bool luo_unknown_can_preserve(struct liveupdate_file_handler *fh,
				     struct file *file)
{
	return false;
}

static int luo_unknown_preserve(struct liveupdate_file_op_args *args)
{
	return -EOPNOTSUPP;
}

static void luo_unknown_unpreserve(struct liveupdate_file_op_args *args)
{
}

static int luo_unknown_retrieve(struct liveupdate_file_op_args *args)
{
	return -EOPNOTSUPP;
}

static void luo_unknown_finish(struct liveupdate_file_op_args *args)
{
	pr_warn("dropping a file of unknown type: its memory stays reserved, and so does what the session holds for devices\n");
	liveupdate_session_leak(args->session);
}

static const struct liveupdate_file_ops luo_unknown_ops = {
	.can_preserve = luo_unknown_can_preserve,
	.preserve = luo_unknown_preserve,
	.unpreserve = luo_unknown_unpreserve,
	.retrieve = luo_unknown_retrieve,
	.finish = luo_unknown_finish,
};

struct liveupdate_file_handler luo_unknown_handler = {
	.ops = &luo_unknown_ops,
	.compatible = "unknown",
	.flb_list =
		LIST_HEAD_INIT(ACCESS_PRIVATE(&luo_unknown_handler, flb_list)),
};
