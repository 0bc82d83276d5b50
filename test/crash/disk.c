/*
 * LD_PRELOAD library: notes in the file that DISK_LOG names everything that a process does to files below DISK_ROOT: what it writes, what it
 * names, and when each sync began and ended. power.ts builds from that what a disk holds after its power was cut.
 *
 * A record: type, length of the payload, inode, one number; then the payload. See RECORD in power.ts. One process at a time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 1, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, UNLINK, RENAME, MAKE_FOLDER, FOLDER_SYNC_BEGIN, FOLDER_SYNC_END, UNKNOWN };

struct record {
  uint32_t type;
  uint32_t bytes;
  uint64_t inode;
  uint64_t number;
};

#define FDS_MAX 65536
static struct { uint64_t inode; dev_t device; char *folder; } files[FDS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static size_t root_length;
static int log_fd = -1;
static uint64_t syncs;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("DISK_LOG");
  root = getenv("DISK_ROOT");
  if (path == NULL || root == NULL) return;
  root_length = strlen(root);
  log_fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_below(const char *path) { return log_fd >= 0 && path != NULL && strncmp(path, root, root_length) == 0 && path[root_length] == '/'; }

/* The caller holds the lock. A record that cannot be noted must not pass unnoticed. */
static void note_parts(uint32_t type, uint64_t inode, uint64_t number, const struct iovec *parts, int count, size_t bytes) {
  struct record head = { type, (uint32_t)bytes, inode, number };
  size_t total = sizeof head + bytes, at = sizeof head;
  char *buffer = malloc(total);
  if (buffer == NULL) abort();
  memcpy(buffer, &head, sizeof head);
  for (int i = 0; i < count && at < total; i++) {
    size_t length = parts[i].iov_len < total - at ? parts[i].iov_len : total - at;
    memcpy(buffer + at, parts[i].iov_base, length);
    at += length;
  }
  if (syscall(SYS_write, log_fd, buffer, total) != (ssize_t)total) abort();
  free(buffer);
}

static void note(uint32_t type, uint64_t inode, uint64_t number, const void *payload, size_t bytes) {
  struct iovec part = { (void *)payload, bytes };
  note_parts(type, inode, number, &part, 1, bytes);
}

static void note_path(uint32_t type, uint64_t inode, const char *path) { note(type, inode, 0, path + root_length + 1, strlen(path) - root_length - 1); }

/* libuv closes some files by a system call of its own, which passes no library: a number may mean a socket by now. */
static int is_known(int fd) {
  struct stat facts;
  return fd >= 0 && fd < FDS_MAX && files[fd].inode != 0 && fstat(fd, &facts) == 0 && facts.st_ino == files[fd].inode && facts.st_dev == files[fd].device;
}

static int open_noted(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
  if (!is_below(path)) return real(path, flags, mode);
  pthread_mutex_lock(&lock);
  struct stat facts;
  int was_there = syscall(SYS_newfstatat, AT_FDCWD, path, &facts, 0) == 0;
  int fd = real(path, flags, mode);
  int error = errno;
  if (fd >= 0 && fd < FDS_MAX && fstat(fd, &facts) == 0) {
    free(files[fd].folder);
    files[fd].folder = S_ISDIR(facts.st_mode) ? strdup(path + root_length + 1) : NULL;
    files[fd].inode = facts.st_ino;
    files[fd].device = facts.st_dev;
    if (!was_there) note_path(CREATE, facts.st_ino, path);
    else if (flags & O_TRUNC) note(TRUNCATE, facts.st_ino, 0, "", 0);
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return fd;
}

static mode_t mode_of(int flags, va_list list) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; }

#define OPEN(name)                                      \
  int name(const char *path, int flags, ...) {          \
    va_list list;                                       \
    va_start(list, flags);                              \
    mode_t mode = mode_of(flags, list);                 \
    va_end(list);                                       \
    return open_noted(REAL(name), path, flags, mode);   \
  }
OPEN(open)
OPEN(open64)

int close(int fd) {
  pthread_mutex_lock(&lock);
  if (is_known(fd)) {
    files[fd].inode = 0;
    free(files[fd].folder);
    files[fd].folder = NULL;
  }
  pthread_mutex_unlock(&lock);
  return REAL(close)(fd);
}

/* The write itself is made under the lock, so that the log has writes to one place in the order in which they were made. */
#define WRITTEN(fd, call, at, parts, count)                                                        \
  if (!is_known(fd)) return call;                                                                  \
  pthread_mutex_lock(&lock);                                                                       \
  off_t place = at;                                                                                \
  ssize_t done = call;                                                                             \
  int error = errno;                                                                               \
  if (done > 0) note_parts(WRITE, files[fd].inode, (uint64_t)place, parts, count, (size_t)done);   \
  pthread_mutex_unlock(&lock);                                                                     \
  errno = error;                                                                                   \
  return done;

static off_t place_of(int fd) {
  struct stat facts;
  if (fcntl(fd, F_GETFL) & O_APPEND && fstat(fd, &facts) == 0) return facts.st_size;
  return lseek(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *data, size_t bytes) {
  struct iovec part = { (void *)data, bytes };
  WRITTEN(fd, REAL(write)(fd, data, bytes), place_of(fd), &part, 1)
}
ssize_t writev(int fd, const struct iovec *parts, int count) { WRITTEN(fd, REAL(writev)(fd, parts, count), place_of(fd), parts, count) }

#define PWRITE(name, off)                                                  \
  ssize_t name(int fd, const void *data, size_t bytes, off at) {           \
    struct iovec part = { (void *)data, bytes };                           \
    WRITTEN(fd, REAL(name)(fd, data, bytes, at), (off_t)at, &part, 1)      \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define PWRITEV(name, off)                                                                                                       \
  ssize_t name(int fd, const struct iovec *parts, int count, off at) { WRITTEN(fd, REAL(name)(fd, parts, count, at), (off_t)at, parts, count) }
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

#define FTRUNCATE(name, off)                                                \
  int name(int fd, off size) {                                              \
    if (!is_known(fd)) return REAL(name)(fd, size);                         \
    pthread_mutex_lock(&lock);                                              \
    int result = REAL(name)(fd, size);                                      \
    int error = errno;                                                      \
    if (result == 0) note(TRUNCATE, files[fd].inode, (uint64_t)size, "", 0); \
    pthread_mutex_unlock(&lock);                                            \
    errno = error;                                                          \
    return result;                                                          \
  }
FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)

/* What was written while a sync ran may have come too late for it: it counts for what stood before it began, and from when it had ended. */
static int sync_noted(int (*real)(int), int fd) {
  if (!is_known(fd)) return real(fd);
  pthread_mutex_lock(&lock);
  uint64_t inode = files[fd].inode, token = ++syncs;
  char *folder = files[fd].folder == NULL ? NULL : strdup(files[fd].folder);
  if (folder == NULL) note(SYNC_BEGIN, inode, token, "", 0);
  else note(FOLDER_SYNC_BEGIN, inode, token, folder, strlen(folder));
  pthread_mutex_unlock(&lock);
  int result = real(fd);
  int error = errno;
  if (result == 0) {
    pthread_mutex_lock(&lock);
    if (folder == NULL) note(SYNC_END, inode, token, "", 0);
    else note(FOLDER_SYNC_END, inode, token, folder, strlen(folder));
    pthread_mutex_unlock(&lock);
  }
  free(folder);
  errno = error;
  return result;
}
int fsync(int fd) { return sync_noted(REAL(fsync), fd); }
int fdatasync(int fd) { return sync_noted(REAL(fdatasync), fd); }

#define NAMED(path, call, noting)           \
  if (!is_below(path)) return call;         \
  pthread_mutex_lock(&lock);                \
  int result = call;                        \
  int error = errno;                        \
  if (result == 0) { noting; }              \
  pthread_mutex_unlock(&lock);              \
  errno = error;                            \
  return result;

int unlink(const char *path) { NAMED(path, REAL(unlink)(path), note_path(UNLINK, 0, path)) }
int mkdir(const char *path, mode_t mode) { NAMED(path, REAL(mkdir)(path, mode), note_path(MAKE_FOLDER, 0, path)) }
static void note_rename(const char *from, const char *to) {
  struct iovec parts[2] = { { (void *)(from + root_length + 1), strlen(from) - root_length }, { (void *)(to + root_length + 1), strlen(to) - root_length - 1 } };
  note_parts(RENAME, 0, 0, parts, 2, parts[0].iov_len + parts[1].iov_len);
}
int rename(const char *from, const char *to) { NAMED(from, REAL(rename)(from, to), note_rename(from, to)) }

/* What is not modelled, and must therefore not happen. */
#define REFUSED(path, call) \
  NAMED(path, call, note_path(UNKNOWN, 0, path))
int link(const char *from, const char *to) { REFUSED(from, REAL(link)(from, to)) }
int symlink(const char *target, const char *path) { REFUSED(path, REAL(symlink)(target, path)) }
int truncate(const char *path, off_t size) { REFUSED(path, REAL(truncate)(path, size)) }
int rmdir(const char *path) { REFUSED(path, REAL(rmdir)(path)) }
