/* Memory read bandwidth, STREAM-like: threads sum disjoint parts of an array far larger than the caches.
   Usage: bandwidth THREADS REPEATS. Prints one line a repeat: GB/s by wall time. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WORDS ((size_t)64 << 20) /* 512 MiB of 64-bit words */

typedef struct {
    const uint64_t *from;
    size_t words;
    uint64_t sum;
} part_t;

static void *read_part(void *argument) {
    part_t *part = argument;
    uint64_t a = 0, b = 0, c = 0, d = 0; /* four chains, so that the adder is never what limits */
    for (size_t i = 0; i + 4 <= part->words; i += 4) {
        a += part->from[i];
        b += part->from[i + 1];
        c += part->from[i + 2];
        d += part->from[i + 3];
    }
    part->sum = a + b + c + d;
    return NULL;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int count, char **values) {
    int threads = count > 1 ? atoi(values[1]) : 1, repeats = count > 2 ? atoi(values[2]) : 8;
    uint64_t *data = malloc(WORDS * sizeof *data), check = 0;
    if (!data || threads < 1 || threads > 64) return 1;
    for (size_t i = 0; i < WORDS; i++) data[i] = i;
    for (int r = 0; r < repeats; r++) {
        pthread_t ids[64];
        part_t parts[64];
        double start = now();
        for (int t = 0; t < threads; t++) {
            parts[t] = (part_t){data + WORDS / threads * t, WORDS / threads, 0};
            if (pthread_create(&ids[t], NULL, read_part, &parts[t])) return 1;
        }
        for (int t = 0; t < threads; t++) {
            pthread_join(ids[t], NULL);
            check += parts[t].sum;
        }
        printf("%.3f\n", WORDS * sizeof *data / (now() - start) / 1e9);
    }
    return check == 1; /* uses the sums, so that the loop cannot be dropped */
}
