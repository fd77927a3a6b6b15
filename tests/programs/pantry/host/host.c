// Loads the libraries that its last arguments name, has each take in goods, and waits.
//
// host SECONDS_TO_LIVE MILLISECONDS_BEFORE COUNT PER_SECOND KEEP [LIBRARY...]
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void say(long held) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    printf("{\"unix_nanos\":%lld,\"held\":%ld}\n", now.tv_sec * 1000000000LL + now.tv_nsec, held);
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc < 6) return 2;
    alarm(atoi(argv[1]));
    long held = 0;
    int count = atoi(argv[3]), per_second = atoi(argv[4]), keep = atoi(argv[5]);
    say(held);
    usleep(atoi(argv[2]) * 1000);
    for (int i = 6; i < argc; i++) {
        void *library = dlopen(argv[i], RTLD_NOW);
        if (!library) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        void (*stock)(int) = (void (*)(int))dlsym(library, "Stock");
        void (*deliver)(int, int) = (void (*)(int, int))dlsym(library, "Deliver");
        if (!stock || !deliver) return 1;
        stock(count);
        held += count;
        if (per_second) deliver(per_second, keep);
        say(held);
    }
    for (;;) pause();
}
