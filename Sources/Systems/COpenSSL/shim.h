#pragma once
#include <openssl/ssl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/kdf.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>

// Twins of macros and casts that Swift does not import.

static const int COPENSSL_MBSTRING_UTF8 = MBSTRING_UTF8;
static const int COPENSSL_PKEY_PUBLIC_KEY = EVP_PKEY_PUBLIC_KEY;

// Reads a private key without ever asking a terminal for a pass phrase: an encrypted key fails instead.
static inline int copenssl_no_passphrase(char *buffer, int size, int writing, void *context) {
    (void)buffer, (void)size, (void)writing, (void)context;
    return -1;
}
static inline EVP_PKEY *copenssl_read_private_key(BIO *bio) {
    return PEM_read_bio_PrivateKey(bio, NULL, copenssl_no_passphrase, NULL);
}
// The same for what is never encrypted: a block may say all the same that it is.
static inline EVP_PKEY *copenssl_read_public_key(BIO *bio) {
    return PEM_read_bio_PUBKEY(bio, NULL, copenssl_no_passphrase, NULL);
}
static inline X509 *copenssl_read_certificate(BIO *bio) {
    return PEM_read_bio_X509(bio, NULL, copenssl_no_passphrase, NULL);
}
static inline X509_CRL *copenssl_read_revocation_list(BIO *bio) {
    return PEM_read_bio_X509_CRL(bio, NULL, copenssl_no_passphrase, NULL);
}
// Lets a chain pass whose issuers have no list where lists are looked at; everything else stays as it was found.
static inline int copenssl_verify_known_lists(int is_fine, X509_STORE_CTX *context) {
    if (is_fine || X509_STORE_CTX_get_error(context) != X509_V_ERR_UNABLE_TO_GET_CRL) return is_fine;
    X509 *certificate = X509_STORE_CTX_get_current_cert(context);
    STACK_OF(X509_CRL) *lists =
        certificate ? X509_STORE_CTX_get1_crls(context, X509_get_issuer_name(certificate)) : NULL;
    // One of that name which could not be used: of another key, or for another purpose.
    int has_one = sk_X509_CRL_num(lists) > 0;
    sk_X509_CRL_pop_free(lists, X509_CRL_free);
    if (has_one) return 0;
    X509_STORE_CTX_set_error(context, X509_V_OK);
    return 1;
}
static inline void copenssl_ctx_verify_known_lists(SSL_CTX *context, int mode) {
    SSL_CTX_set_verify(context, mode, copenssl_verify_known_lists);
}
static const unsigned long COPENSSL_CHECK_LISTS = X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;

// The bytes a memory BIO holds; they stay the BIO's.
static inline long copenssl_bio_memory(BIO *bio, char **bytes) { return BIO_get_mem_data(bio, bytes); }

static inline int copenssl_general_name_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
static inline GENERAL_NAME *copenssl_general_name(const GENERAL_NAMES *names, int index) {
    return sk_GENERAL_NAME_value(names, index);
}

// Never asks a terminal for a pass phrase, as above.
static inline X509_REQ *copenssl_read_request(BIO *bio) {
    return PEM_read_bio_X509_REQ(bio, NULL, copenssl_no_passphrase, NULL);
}
// The alternative names a certificate request asks for; the caller's. Null when it asks for none.
static inline GENERAL_NAMES *copenssl_request_names(X509_REQ *request) {
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(request);
    GENERAL_NAMES *names = (GENERAL_NAMES *)X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return names;
}

static const unsigned long COPENSSL_NAME_RFC2253 = XN_FLAG_RFC2253;

// Reason of an error as text; never data of the operation.
static inline const char *copenssl_reason(unsigned long error) { return ERR_reason_error_string(error); }
static inline int copenssl_is_pem_end(unsigned long error) {
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

// Parameters of public keys. Here and not in Swift because the builder keeps the pointers to names and values until it is finished.
static inline int copenssl_push_rsa(OSSL_PARAM_BLD *builder, const BIGNUM *modulus, const BIGNUM *exponent) {
    return OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus)
        && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent);
}
// The curve whose coordinates have this many bytes: a text that lives for ever.
static inline const char *copenssl_curve(int coordinate_length) {
    return coordinate_length == 32 ? "prime256v1" : coordinate_length == 48 ? "secp384r1" : "secp521r1";
}
static inline int copenssl_push_ec(OSSL_PARAM_BLD *builder, const char *curve, const void *point, size_t length) {
    return OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, curve, 0)
        && OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, length);
}

// TLS: macros over SSL_CTX_ctrl and SSL_ctrl, and options of 64 bits.
static inline int copenssl_ctx_set_min_version(SSL_CTX *context, int version) {
    return SSL_CTX_set_min_proto_version(context, version) == 1;
}
static inline void copenssl_ctx_set_options(SSL_CTX *context) {
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(
        context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
}
static inline void copenssl_ctx_disable_tickets(SSL_CTX *context) { SSL_CTX_set_options(context, SSL_OP_NO_TICKET); }
static inline void copenssl_ctx_set_session_cache(SSL_CTX *context, int mode) {
    SSL_CTX_set_session_cache_mode(context, mode);
}
static const int COPENSSL_SESS_CACHE_OFF = SSL_SESS_CACHE_OFF;
static const int COPENSSL_SESS_CACHE_CLIENT = SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL;
static inline int copenssl_ctx_add_chain(SSL_CTX *context, X509 *certificate) {
    return SSL_CTX_add1_chain_cert(context, certificate) == 1;
}
static inline int copenssl_add_chain(SSL *session, X509 *certificate) {
    return SSL_add1_chain_cert(session, certificate) == 1;
}
typedef int (*copenssl_servername_callback)(SSL *session, int *alert, void *argument);
static inline void copenssl_ctx_on_servername(SSL_CTX *context, copenssl_servername_callback callback, void *argument) {
    SSL_CTX_set_tlsext_servername_callback(context, callback);
    SSL_CTX_set_tlsext_servername_arg(context, argument);
}
static inline int copenssl_set_servername(SSL *session, const char *name) {
    return SSL_set_tlsext_host_name(session, name) == 1;
}

// Session tickets (RFC 5077): sealed with AES-256-CBC and HMAC-SHA-256 in the contexts OpenSSL hands over.
typedef int (*copenssl_ticket_callback)(
    SSL *session, unsigned char *name, unsigned char *vector, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seals);
static inline void copenssl_ctx_on_ticket(SSL_CTX *context, copenssl_ticket_callback callback) {
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, callback);
}
static inline int copenssl_begin_ticket(
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, const unsigned char *cipher_key, const unsigned char *mac_key,
    size_t mac_key_length, const unsigned char *vector, int seals) {
    char digest[] = "SHA256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)mac_key, mac_key_length),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, cipher_key, vector, seals) == 1
        && EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

static inline int copenssl_is_reason(unsigned long error, int reason) {
    return ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == reason;
}

// SHA-256 without the EVP layer: OpenSSL 3.0 frees and allocates a provider's context at every EVP_DigestInit, these functions
// allocate nothing. They are deprecated as an interface for applications, and run the same code as EVP's default provider.
#include <openssl/sha.h>
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"
typedef struct { SHA256_CTX state; } copenssl_sha256_state;
static inline void copenssl_sha256_init(copenssl_sha256_state *hash) { SHA256_Init(&hash->state); }
static inline void copenssl_sha256_update(copenssl_sha256_state *hash, const void *bytes, size_t count) {
    SHA256_Update(&hash->state, bytes, count);
}
static inline void copenssl_sha256_final(copenssl_sha256_state *hash, void *output) {
    SHA256_Final((unsigned char *)output, &hash->state);
}
#pragma clang diagnostic pop
