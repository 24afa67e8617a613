"""Where keys live: PKCS#11 tokens, a TPM 2.0, or a file; addressed by URI."""
