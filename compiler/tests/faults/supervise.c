/* Runs a program and counts its system calls that open, write, sync, rename, make or remove files below a
 * folder; fails one of them, all from one on, or kills the program there.
 *
 *   supervise FOLDER MODE N LOG PROGRAM ARGUMENTS..
 *
 * MODE is `count` (none fails), `once` (the N-th fails), `after` (it and all later ones fail) or `kill` (the
 * program is killed in place of it). LOG gets one line for each call. The exit code is the program's, or 128
 * and its signal; 125 where the system does not let calls be watched.
 *
 * Calls are caught by seccomp's user notification (seccomp_unotify(2)), which sees those that do not go
 * through the C library too. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a call names: a path, or a file that is open. */
enum what { PATH, PATH_AT, OPEN };

static const struct call {
    long number;
    const char *name;
    enum what what;
    int error;
} calls[] = {
#ifdef SYS_open
    {SYS_open, "open", PATH, EIO},
    {SYS_creat, "creat", PATH, ENOSPC},
    {SYS_mkdir, "mkdir", PATH, ENOSPC},
    {SYS_rmdir, "rmdir", PATH, EIO},
    {SYS_unlink, "unlink", PATH, EIO},
    {SYS_rename, "rename", PATH, EIO},
    {SYS_link, "link", PATH, EIO},
    {SYS_chmod, "chmod", PATH, EIO},
#endif
    {SYS_openat, "openat", PATH_AT, EIO},
    {SYS_mkdirat, "mkdirat", PATH_AT, ENOSPC},
    {SYS_unlinkat, "unlinkat", PATH_AT, EIO},
    {SYS_renameat, "renameat", PATH_AT, EIO},
    {SYS_renameat2, "renameat2", PATH_AT, EIO},
    {SYS_linkat, "linkat", PATH_AT, EIO},
    {SYS_write, "write", OPEN, ENOSPC},
    {SYS_pwrite64, "pwrite64", OPEN, ENOSPC},
    {SYS_writev, "writev", OPEN, ENOSPC},
    {SYS_fsync, "fsync", OPEN, EIO},
    {SYS_fdatasync, "fdatasync", OPEN, EIO},
    {SYS_ftruncate, "ftruncate", OPEN, EIO},
    {SYS_fallocate, "fallocate", OPEN, ENOSPC},
    {SYS_getdents64, "getdents64", OPEN, EIO},
    {SYS_flock, "flock", OPEN, ENOLCK},
};
enum { CALLS = sizeof calls / sizeof *calls };

static void die(const char *what) {
    perror(what);
    exit(125);
}

/* Has the kernel tell of these calls; returns the descriptor to listen on. */
static int watch(void) {
    struct sock_filter program[CALLS + 3];
    int n = 0;
    program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < CALLS; i++)
        program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].number, CALLS - i, 0);
    program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    struct sock_fprog filter = {n, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        die("no_new_privs");
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
}

static void send_descriptor(int to, int descriptor) {
    char byte = 0, space[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
    if (sendmsg(to, &message, 0) < 0)
        _exit(125);
}

static int receive_descriptor(int from) {
    char byte, space[CMSG_SPACE(sizeof(int))];
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    if (recvmsg(from, &message, 0) <= 0 || !CMSG_FIRSTHDR(&message))
        return -1;
    int descriptor;
    memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    return descriptor;
}

/* The path that a call is about. */
static int path_of(const struct seccomp_notif *n, const struct call *call, char *path) {
    char name[64];
    if (call->what == OPEN) {
        snprintf(name, sizeof name, "/proc/%d/fd/%d", n->pid, (int)n->data.args[0]);
        ssize_t len = readlink(name, path, PATH_MAX - 1);
        path[len < 0 ? 0 : len] = 0;
        return len > 0;
    }
    snprintf(name, sizeof name, "/proc/%d/mem", n->pid);
    int memory = open(name, O_RDONLY | O_CLOEXEC);
    if (memory < 0)
        return 0;
    ssize_t len = pread(memory, path, PATH_MAX - 1, n->data.args[call->what == PATH_AT]);
    close(memory);
    if (len <= 0)
        return 0;
    path[len] = 0;
    if (path[0] == '/' || call->what == PATH)
        return 1;
    /* Relative to an open folder: what is in it is told by where it lies. */
    char folder[PATH_MAX], rest[PATH_MAX];
    snprintf(name, sizeof name, "/proc/%d/fd/%d", n->pid, (int)n->data.args[0]);
    len = readlink(name, folder, PATH_MAX - 1);
    if (len <= 0)
        return 1;
    folder[len] = 0;
    strcpy(rest, path);
    snprintf(path, PATH_MAX, "%.2000s/%.2000s", folder, rest);
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 6)
        return 125;
    const char *folder = argv[1], *mode = argv[2];
    long wanted = atol(argv[3]), count = 0;
    int pair[2], log = open(argv[4], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (log < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        die("log");
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (!child) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int listener = watch();
        if (listener < 0)
            _exit(125);
        send_descriptor(pair[1], listener);
        close(listener);
        execv(argv[5], argv + 5);
        _exit(125);
    }
    close(pair[1]);
    int listener = receive_descriptor(pair[0]);
    struct pollfd ready = {listener, POLLIN, 0};
    while (listener >= 0) {
        if (poll(&ready, 1, -1) < 0 && errno == EINTR)
            continue;
        if (!(ready.revents & POLLIN))
            break;
        struct seccomp_notif n;
        memset(&n, 0, sizeof n);
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n))
            continue;
        const struct call *call = calls;
        while (call->number != n.data.nr)
            call++;
        char path[PATH_MAX];
        int concerned = path_of(&n, call, path) && !strncmp(path, folder, strlen(folder));
        struct seccomp_notif_resp answer = {.id = n.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        if (concerned) {
            count++;
            dprintf(log, "%ld %s %s\n", count, call->name, path);
            int hit = count == wanted || (count > wanted && !strcmp(mode, "after"));
            if (hit && !strcmp(mode, "kill")) {
                kill(child, SIGKILL);
                continue;
            }
            if (hit && strcmp(mode, "count")) {
                answer.flags = 0;
                answer.error = -call->error;
            }
        }
        /* The program may have died meanwhile. */
        (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
    int status;
    if (waitpid(child, &status, 0) < 0)
        die("wait");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
