/* The raw limit of a TPM: Esys_Sign (or Esys_RSA_Decrypt, Esys_ECDH_ZGen) on a loaded key in a loop, no Python.
   usage: raw_tpm TCTI sign-ec|sign-rsa|decrypt-rsa|agree-ec SECONDS     prints operations per second */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#define CALL(expression) do { TSS2_RC rc = (expression); \
    if (rc) { fprintf(stderr, #expression ": 0x%x\n", rc); exit(1); } } while (0)

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static TPM2B_PUBLIC template(int rsa) {
    TPM2B_PUBLIC public = {0};
    public.publicArea.nameAlg = TPM2_ALG_SHA256;
    public.publicArea.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN
        | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT | TPMA_OBJECT_DECRYPT;
    if (rsa) {
        public.publicArea.type = TPM2_ALG_RSA;
        public.publicArea.parameters.rsaDetail.symmetric.algorithm = TPM2_ALG_NULL;
        public.publicArea.parameters.rsaDetail.scheme.scheme = TPM2_ALG_NULL;
        public.publicArea.parameters.rsaDetail.keyBits = 2048;
    } else {
        public.publicArea.type = TPM2_ALG_ECC;
        public.publicArea.parameters.eccDetail.symmetric.algorithm = TPM2_ALG_NULL;
        public.publicArea.parameters.eccDetail.scheme.scheme = TPM2_ALG_NULL;
        public.publicArea.parameters.eccDetail.curveID = TPM2_ECC_NIST_P256;
        public.publicArea.parameters.eccDetail.kdf.scheme = TPM2_ALG_NULL;
    }
    return public;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int rsa = strstr(argv[2], "rsa") != NULL, decrypt = !strncmp(argv[2], "decrypt", 7), agree = !strncmp(argv[2], "agree", 5);
    double seconds = atof(argv[3]);
    TSS2_TCTI_CONTEXT *tcti;
    ESYS_CONTEXT *esys;
    ESYS_TR key;
    CALL(Tss2_TctiLdr_Initialize(argv[1], &tcti));
    CALL(Esys_Initialize(&esys, tcti, NULL));
    TPM2B_PUBLIC in = template(rsa);
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    /* a primary key signs and decrypts exactly as a child does; loading is not what is measured */
    CALL(Esys_CreatePrimary(esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &in, &outside, &pcrs,
                            &key, NULL, NULL, NULL, NULL));
    TPM2B_DIGEST digest = {.size = 32};
    TPMT_SIG_SCHEME scheme = {.scheme = rsa ? TPM2_ALG_RSASSA : TPM2_ALG_ECDSA, .details.any.hashAlg = TPM2_ALG_SHA256};
    TPMT_TK_HASHCHECK ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    TPMT_RSA_DECRYPT padding = {.scheme = TPM2_ALG_RSAES};
    TPM2B_PUBLIC_KEY_RSA plain = {.size = 32}, *cipher = NULL;
    if (decrypt)
        CALL(Esys_RSA_Encrypt(esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &plain, &padding, &outside, &cipher));
    TPM2B_ECC_POINT *ephemeral = NULL, *shared;
    if (agree)
        CALL(Esys_ECDH_KeyGen(esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &shared, &ephemeral));
    long done = 0;
    double start = now(), end;
    do {
        if (agree) {
            CALL(Esys_ECDH_ZGen(esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, ephemeral, &shared));
            Esys_Free(shared);
        } else if (decrypt) {
            TPM2B_PUBLIC_KEY_RSA *message;
            CALL(Esys_RSA_Decrypt(esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, cipher, &padding, &outside, &message));
            Esys_Free(message);
        } else {
            TPMT_SIGNATURE *signature;
            CALL(Esys_Sign(esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest, &scheme, &ticket, &signature));
            Esys_Free(signature);
        }
        done++;
        end = now();
    } while (end - start < seconds);
    printf("%.1f\n", done / (end - start));
    CALL(Esys_FlushContext(esys, key));
    return 0;
}
