/* Put in front of libc: once the file $AFTER is there, the first poll() that nothing answers within half a second raises
   SIGINT right before it waits on, which is where Python notices a signal only after the wait. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

int poll(struct pollfd *set, nfds_t count, int timeout_ms)
{
    static int (*real)(struct pollfd *, nfds_t, int);
    static int raised;
    const char *after = getenv("AFTER");

    if (!real)
        real = dlsym(RTLD_NEXT, "poll");
    if (!raised && timeout_ms > 500 && after && access(after, F_OK) == 0) {
        int ready = real(set, count, 500);
        if (ready != 0)
            return ready;
        raised = 1;
        kill(getpid(), SIGINT);
    }
    return real(set, count, timeout_ms);
}
