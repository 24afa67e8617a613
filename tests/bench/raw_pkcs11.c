/* The raw limit of a PKCS#11 token: C_SignInit+C_Sign (or C_DecryptInit+C_Decrypt, or C_DeriveKey with what it takes to
   read and drop the result) in a loop, one session, no Python.
   usage: raw_pkcs11 MODULE TOKEN-LABEL OBJECT-LABEL sign-ec|sign-rsa|decrypt-rsa|agree-ec SECONDS   (PIN in the environment: PIN)
   prints operations per second. For decrypt-rsa the ciphertext, for agree-ec the peer's point is read from standard input. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef unsigned long CK_ULONG, CK_RV, CK_SLOT_ID, CK_SESSION_HANDLE, CK_OBJECT_HANDLE;
typedef unsigned char CK_BYTE;
typedef struct { CK_ULONG mechanism; void *parameter; CK_ULONG length; } CK_MECHANISM;
typedef struct { CK_ULONG type; void *value; CK_ULONG length; } CK_ATTRIBUTE;

#define CALL(name, ...) do { CK_RV rv = ((CK_RV (*)())sym(#name))(__VA_ARGS__); \
    if (rv) { fprintf(stderr, #name ": 0x%lx\n", rv); exit(1); } } while (0)

static void *module;
static void *sym(const char *name) {
    void *found = dlsym(module, name);
    if (!found) { fprintf(stderr, "no %s\n", name); exit(1); }
    return found;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static CK_SLOT_ID find_slot(const char *label) {
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    CALL(C_GetSlotList, (CK_BYTE)1, slots, &count);
    for (CK_ULONG i = 0; i < count; i++) {
        unsigned char info[512] = {0};
        CALL(C_GetTokenInfo, slots[i], info);
        if (!memcmp(info, label, strlen(label)) && info[strlen(label)] == ' ') return slots[i];
    }
    fprintf(stderr, "no token %s\n", label);
    exit(1);
}

static CK_OBJECT_HANDLE find_key(CK_SESSION_HANDLE session, char *label) {
    CK_ULONG class = 3, count = 0;
    CK_OBJECT_HANDLE key = 0;
    CK_ATTRIBUTE wanted[] = {{0, &class, sizeof class}, {3, label, strlen(label)}};
    CALL(C_FindObjectsInit, session, wanted, 2UL);
    CALL(C_FindObjects, session, &key, 1UL, &count);
    CALL(C_FindObjectsFinal, session);
    if (count != 1) { fprintf(stderr, "no key %s\n", label); exit(1); }
    return key;
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    module = dlopen(argv[1], RTLD_NOW);
    if (!module) { fprintf(stderr, "%s\n", dlerror()); return 1; }
    int rsa = strstr(argv[4], "rsa") != NULL, decrypt = !strncmp(argv[4], "decrypt", 7), agree = !strncmp(argv[4], "agree", 5);
    double seconds = atof(argv[5]);
    const char *pin = getenv("PIN");
    CK_SESSION_HANDLE session;
    CALL(C_Initialize, NULL);
    CK_SLOT_ID slot = find_slot(argv[2]);
    CALL(C_OpenSession, slot, 4UL, NULL, NULL, &session);
    CALL(C_Login, session, 1UL, (CK_BYTE *)pin, (CK_ULONG)strlen(pin));
    CK_OBJECT_HANDLE key = find_key(session, argv[3]);
    CK_MECHANISM mechanism = {rsa ? 1UL : 0x1041UL, NULL, 0};
    CK_BYTE input[1024] = {0}, output[1024];
    /* SHA-256 DigestInfo for RSA, a bare digest for ECDSA */
    static const CK_BYTE prefix[] = {0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20};
    CK_ULONG length = 32;
    if (decrypt || agree) length = fread(input, 1, sizeof input, stdin);
    else if (rsa) { memcpy(input, prefix, sizeof prefix); length = 51; }
    /* CK_ECDH1_DERIVE_PARAMS without a KDF; CKM_ECDH1_DERIVE; a session's generic secret of 32 bytes that may be read */
    struct { CK_ULONG kdf, shared_length; void *shared; CK_ULONG length; void *point; } parameters = {1, 0, NULL, length, input};
    CK_MECHANISM derivation = {0x1050UL, &parameters, sizeof parameters};
    CK_ULONG class = 4, type = 0x10, bytes = 32;
    CK_BYTE yes = 1, no = 0;
    CK_ATTRIBUTE wanted[] = {{0, &class, sizeof class}, {0x100, &type, sizeof type}, {0x161, &bytes, sizeof bytes},
                             {0x103, &no, 1}, {0x162, &yes, 1}, {1, &no, 1}};
    long done = 0;
    double start = now(), end;
    do {
        CK_ULONG size = sizeof output;
        if (agree) {
            CK_OBJECT_HANDLE secret;
            CK_ATTRIBUTE value = {0x11, output, sizeof output};
            CALL(C_DeriveKey, session, &derivation, key, wanted, 6UL, &secret);
            CALL(C_GetAttributeValue, session, secret, &value, 1UL);
            CALL(C_DestroyObject, session, secret);
        } else if (decrypt) {
            CALL(C_DecryptInit, session, &mechanism, key);
            CALL(C_Decrypt, session, input, length, output, &size);
        } else {
            CALL(C_SignInit, session, &mechanism, key);
            CALL(C_Sign, session, input, length, output, &size);
        }
        done++;
        end = now();
    } while (end - start < seconds);
    printf("%.1f\n", done / (end - start));
    CALL(C_Finalize, NULL);
    return 0;
}
