/* A PKCS#11 module that hands every call to another one (FAULTY_TARGET) and fails, lies or counts as it is told to.
   Its function list lies in read-only memory, as some real modules' lists do. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef unsigned long ul;
typedef ul (*fn)(ul, ul, ul, ul, ul, ul, ul, ul);
struct list { unsigned char version[2]; fn f[68]; };
struct attribute { ul type; void *value; ul length; };

enum { INITIALIZE = 0, GET_FUNCTION_LIST = 3, GET_TOKEN_INFO = 6, CREATE_OBJECT = 20, GET_ATTRIBUTE_VALUE = 24, DECRYPT_INIT = 33,
       SIGN_INIT = 42, SIGN = 43, GENERATE_KEY_PAIR = 59, DERIVE_KEY = 62 };

static struct list *real, *mine;
static atomic_long calls[68], inside, most_inside;
static struct { ul code; atomic_long after, times; } faults[68];
static struct { ul set_flags, clear_flags, cant_lock, leak, refuse_attribute, refuse_mechanism, hide_attribute,
                last_flags, max_sessions, token_only, last_signed, no_private_objects; } lies;

void faulty_reset(void) { memset(faults, 0, sizeof faults); memset(&lies, 0, sizeof lies);
                          memset((void *)calls, 0, sizeof calls); most_inside = 0; }
void faulty_fail(int i, ul code, long after, long times) { faults[i].times = 0; faults[i].code = code;
                                                          faults[i].after = after; faults[i].times = times; }
long faulty_calls(int i) { return calls[i]; }
long faulty_most_inside(void) { return most_inside; }
ul faulty_last_signed(void) { return lies.last_signed; }
ul faulty_last_flags(void) { return lies.last_flags; }
void faulty_lie(int which, ul value) { ((ul *)&lies)[which] = value; }

static ul fault(int i) {
    calls[i]++;
    if (faults[i].times <= 0) return 0;
    if (faults[i].after-- > 0) return 0;
    return faults[i].times-- > 0 ? faults[i].code : 0;
}

static int holds(const struct attribute *a, ul n, ul type) {
    for (ul i = 0; i < n; i++) if (a[i].type == type) return 1;
    return 0;
}

static ul forward(int i, ul a, ul b, ul c, ul d, ul e, ul f, ul g, ul h) {
    ul code = fault(i);
    if (code) return code;
    if (i == INITIALIZE) {
        lies.last_flags = a ? ((ul *)a)[4] : 0;
        if (lies.cant_lock && a) return 0x0A;
    }
    if (i == SIGN) lies.last_signed = c;
    if ((i == SIGN_INIT || i == DECRYPT_INIT) && lies.refuse_mechanism && *(ul *)b == lies.refuse_mechanism - 1) return 0x70;
    if (i == DERIVE_KEY && lies.refuse_mechanism && *(ul *)b == lies.refuse_mechanism - 1) return 0x70;
    if (i == GENERATE_KEY_PAIR && lies.refuse_attribute
        && (holds((void *)c, d, lies.refuse_attribute) || holds((void *)e, f, lies.refuse_attribute))) return 0x12;
    if (i == CREATE_OBJECT && lies.no_private_objects)
        for (ul j = 0; j < c; j++) {
            struct attribute *one = (struct attribute *)b + j;
            if (one->type == 0 && *(ul *)one->value == 3) return lies.no_private_objects;
        }
    if (i == GET_ATTRIBUTE_VALUE && lies.hide_attribute && d == 1 && ((struct attribute *)c)->type == lies.hide_attribute) {
        ((struct attribute *)c)->length = (ul)-1;
        return 0x12;
    }
    if (i == GENERATE_KEY_PAIR && lies.token_only)
        for (ul j = 0; j < f; j++) {
            struct attribute *one = (struct attribute *)e + j;
            if (one->type == 1 && !*(unsigned char *)one->value) return 0x13;
        }
    static unsigned char yes = 1, no = 0;
    struct attribute changed[64];
    if (i == GENERATE_KEY_PAIR && lies.leak && f <= 64) {
        memcpy(changed, (void *)e, f * sizeof *changed);
        for (ul j = 0; j < f; j++) {
            if (changed[j].type == 0x162) changed[j].value = &yes;
            if (changed[j].type == 0x103) changed[j].value = lies.leak > 1 ? &no : &yes;
        }
        e = (ul)changed;
    }
    long now = ++inside, most = most_inside;
    while (now > most && !atomic_compare_exchange_weak(&most_inside, &most, now)) {}
    code = real->f[i](a, b, c, d, e, f, g, h);
    inside--;
    if (i == GET_TOKEN_INFO && !code) {
        ul *info = (ul *)(b + 96);
        info[0] = (info[0] & ~lies.clear_flags) | lies.set_flags;
        if (lies.max_sessions) info[1] = lies.max_sessions;
    }
    return code;
}

#define W(n) static ul w##n(ul a, ul b, ul c, ul d, ul e, ul f, ul g, ul h) { return forward(n, a, b, c, d, e, f, g, h); }
#define TEN(X, t) X(t##0) X(t##1) X(t##2) X(t##3) X(t##4) X(t##5) X(t##6) X(t##7) X(t##8) X(t##9)
#define ALL(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) TEN(X, 1) TEN(X, 2) TEN(X, 3) TEN(X, 4) TEN(X, 5) \
               X(60) X(61) X(62) X(63) X(64) X(65) X(66) X(67)
ALL(W)

ul C_GetFunctionList(struct list **out) {
    if (!mine) {
        void *library = dlopen(getenv("FAULTY_TARGET"), RTLD_NOW | RTLD_LOCAL);
        ul (*get)(struct list **) = library ? (ul (*)(struct list **))dlsym(library, "C_GetFunctionList") : 0;
        if (!get || get(&real)) return 5;
        struct list *made = mmap(0, sizeof *made, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memcpy(made->version, real->version, 2);
        int i = 0;
#define PUT(n) made->f[i++] = w##n;
        ALL(PUT)
        mprotect(made, sizeof *made, PROT_READ);
        mine = made;
    }
    *out = mine;
    return 0;
}
