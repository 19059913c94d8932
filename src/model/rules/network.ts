// What lives here: what `error.code` means: errno of the network and of files, name server, TLS, Node's and undici's own codes.
// Invariant: a code stands once, but for system calls that make it another thing; what is left out on purpose is listed as such.
// Apart because these come from Node and undici, and change with their releases: a test goes through the lists of both.
import { type Rule, rules } from './rule.ts';

/** Errno as Node names it, in `error.code`; `syscall` says what was tried. */
export const errnoRules: readonly Rule[] = [
  ...rules('net_refused', 'ECONNREFUSED'),
  // The socket file of a server on this machine is not there, or its queue is full: the server is away.
  ...rules('net_refused', 'ENOENT EAGAIN', { in: /^connect$/ }),
  ...rules('net_reset', 'ECONNRESET', { says: /before secure TLS connection/, commit: 'no' }),
  ...rules('net_reset', 'ECONNRESET EPIPE ECONNABORTED ENETRESET ENOTCONN ESHUTDOWN'),
  ...rules('net_timeout', 'ETIMEDOUT'),
  ...rules('net_unreachable', 'EHOSTUNREACH ENETUNREACH EHOSTDOWN ENETDOWN'),
  ...rules('net_forbidden', 'EACCES EPERM', { in: /^(connect|bind|listen)$/ }),
  ...rules('config_invalid', 'EADDRINUSE EAFNOSUPPORT EPROTONOSUPPORT'),
  ...rules('resources_spent', 'ENOMEM ENOBUFS EADDRNOTAVAIL ENOLCK'),
  ...rules('tls_failed', 'EPROTO'),
  ...rules('cancelled', 'ECANCELED ECANCELLED', { weak: true }),
  ...rules('command_missing', 'ENOENT EACCES', { in: /^spawn/ }),
  ...rules('resources_spent', 'EAGAIN', { in: /^spawn/ }),
  ...rules('file_missing', 'ENOENT'),
  ...rules('file_not_regular', 'ENOTDIR EISDIR ELOOP ENAMETOOLONG ENXIO ENODEV'),
  ...rules('file_forbidden', 'EACCES EPERM EROFS'),
  ...rules('file_exists', 'EEXIST ENOTEMPTY'),
  ...rules('file_busy', 'EBUSY EAGAIN EWOULDBLOCK EINTR ETXTBSY ESTALE EDEADLK'),
  ...rules('file_io', 'EIO'),
  ...rules('disk_full', 'ENOSPC EDQUOT'),
  ...rules('files_open_max', 'EMFILE ENFILE'),
  // A rename over the border of two disks: whoever wrote it has to copy instead.
  ...rules('code_bug', 'EXDEV'),
];

/** Errnos that say too little to be judged: two tries, then somebody looks and adds a rule. */
export const errnosUnknown: readonly string[] =
  `E2BIG EALREADY EBADF EBADMSG ECHILD EDESTADDRREQ EDOM EFAULT EFBIG EIDRM EILSEQ EINPROGRESS EINVAL EISCONN EMLINK EMSGSIZE EMULTIHOP
  ENODATA ENOEXEC ENOLINK ENOMSG ENOPROTOOPT ENOSR ENOSTR ENOSYS ENOTSOCK ENOTSUP ENOTTY EOPNOTSUPP EOVERFLOW EPROTOTYPE ERANGE ESPIPE
  ESRCH ETIME`.split(/\s+/);

/** The resolver's words; `getaddrinfo` is the system's, `query…` Node's own. */
export const dnsRules: readonly Rule[] = [
  ...rules('dns_again', 'EAI_AGAIN ETIMEOUT'),
  ...rules('dns_failed', 'EAI_FAIL ESERVFAIL EREFUSED EBADRESP EFORMERR ENOTIMP ECONNREFUSED', {
    in: /^(query|getaddrinfo|getHostByAddr)/,
  }),
  ...rules('dns_failed', 'EAI_FAIL ESERVFAIL'),
  ...rules('dns_unknown', 'ENOTFOUND EAI_NONAME EAI_NODATA'),
  ...rules('dns_unknown', 'ENODATA', { in: /^query/ }),
  ...rules('resources_spent', 'EAI_MEMORY'),
  ...rules('config_invalid', 'EBADNAME EAI_FAMILY EAI_ADDRFAMILY EAI_SERVICE EAI_SOCKTYPE EAI_BADFLAGS'),
];

/** OpenSSL's verdict on a certificate, and what goes wrong before there is one. */
export const tlsRules: readonly Rule[] = [
  ...rules(
    'tls_invalid',
    `CERT_HAS_EXPIRED CERT_NOT_YET_VALID CERT_REVOKED CERT_UNTRUSTED CERT_REJECTED CERT_SIGNATURE_FAILURE CERT_CHAIN_TOO_LONG
    CRL_HAS_EXPIRED CRL_NOT_YET_VALID CRL_SIGNATURE_FAILURE DEPTH_ZERO_SELF_SIGNED_CERT SELF_SIGNED_CERT_IN_CHAIN
    UNABLE_TO_VERIFY_LEAF_SIGNATURE UNABLE_TO_GET_ISSUER_CERT UNABLE_TO_GET_ISSUER_CERT_LOCALLY UNABLE_TO_DECRYPT_CERT_SIGNATURE
    UNABLE_TO_DECRYPT_CRL_SIGNATURE UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY ERROR_IN_CERT_NOT_BEFORE_FIELD ERROR_IN_CERT_NOT_AFTER_FIELD
    ERROR_IN_CRL_LAST_UPDATE_FIELD ERROR_IN_CRL_NEXT_UPDATE_FIELD HOSTNAME_MISMATCH INVALID_CA INVALID_PURPOSE PATH_LENGTH_EXCEEDED
    ERR_TLS_CERT_ALTNAME_INVALID ERR_TLS_CERT_ALTNAME_FORMAT UND_ERR_PRX_TLS`,
  ),
  ...rules('net_timeout', 'ERR_TLS_HANDSHAKE_TIMEOUT', { commit: 'no' }),
  // A second try meets another server of the same name often enough; a third does not.
  ...rules('tls_failed', 'UNABLE_TO_GET_CRL', { commit: 'no' }),
  // Also of a connection that had carried the request: nobody knows what came of it.
  ...rules('tls_failed', 'ERR_SSL_*'),
  ...rules('resources_spent', 'OUT_OF_MEM'),
];

/** Node's own, undici's, and those of the libraries that Node is made of. */
export const clientRules: readonly Rule[] = [
  ...rules('net_timeout', 'UND_ERR_CONNECT_TIMEOUT', { commit: 'no' }),
  ...rules('net_timeout', 'UND_ERR_HEADERS_TIMEOUT UND_ERR_BODY_TIMEOUT ERR_SOCKET_CONNECTION_TIMEOUT'),
  ...rules('net_refused', 'UND_ERR_PRX_CONN UND_ERR_SOCKS5 UND_ERR_SOCKS5_*', { commit: 'no' }),
  ...rules('http_407', 'UND_ERR_SOCKS5_AUTH_REJECTED UND_ERR_SOCKS5_AUTH_FAILED UND_ERR_SOCKS5_AUTH_METHOD'),
  ...rules('net_reset', 'ERR_HTTP2_STREAM_ERROR', { says: /NGHTTP2_REFUSED_STREAM/, commit: 'no' }),
  ...rules('net_reset', 'ERR_HTTP2_STREAM_ERROR ERR_HTTP2_SESSION_ERROR ERR_HTTP2_GOAWAY_SESSION ERR_SOCKET_CLOSED'),
  // Undici's general words; the cause below them knows more where there is one.
  ...rules('net_reset', 'UND_ERR UND_ERR_* UND_ERR_INFO UND_ERR_SOCKET UND_ERR_REQ_RETRY UND_ERR_RESPONSE', {
    weak: true,
  }),
  ...rules('answer_cut', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH HPE_INVALID_EOF_STATE HPE_CLOSED_CONNECTION Z_BUF_ERROR'),
  ...rules('answer_cut', 'ERR_STREAM_PREMATURE_CLOSE', { weak: true }),
  ...rules('answer_unreadable', 'HPE_* Z_DATA_ERROR ERR_ENCODING_INVALID_ENCODED_DATA'),
  ...rules(
    'answer_too_large',
    'UND_ERR_HEADERS_OVERFLOW UND_ERR_RES_EXCEEDED_MAX_SIZE UND_ERR_WS_MESSAGE_SIZE_EXCEEDED HPE_HEADER_OVERFLOW',
  ),
  ...rules('resources_spent', 'UND_ERR_MAX_ORIGINS_REACHED Z_MEM_ERROR'),
  ...rules(
    'code_bug',
    `UND_ERR_INVALID_ARG UND_ERR_INVALID_RETURN_VALUE UND_ERR_NOT_SUPPORTED UND_ERR_REQ_CONTENT_LENGTH_MISMATCH
    UND_ERR_BPL_MISSING_UPSTREAM ERR_INVALID_URL ERR_INVALID_ARG_TYPE ERR_INVALID_ARG_VALUE ERR_OUT_OF_RANGE ERR_ASSERTION`,
  ),
  ...rules('cancelled', 'ABORT_ERR UND_ERR_ABORT UND_ERR_ABORTED UND_ERR_DESTROYED UND_ERR_CLOSED ERR_CANCELED', {
    weak: true,
  }),
];

/** Codes of the families `HPE_*` and `ERR_SSL_*` that are met; of others only the family is told, because a code is a text like any other. */
export const llhttpCodes: ReadonlySet<string> = new Set(
  `HPE_INTERNAL HPE_STRICT HPE_LF_EXPECTED HPE_CR_EXPECTED HPE_UNEXPECTED_CONTENT_LENGTH HPE_UNEXPECTED_SPACE HPE_CLOSED_CONNECTION HPE_INVALID_METHOD
  HPE_INVALID_URL HPE_INVALID_CONSTANT HPE_INVALID_VERSION HPE_INVALID_HEADER_TOKEN HPE_INVALID_CONTENT_LENGTH HPE_INVALID_CHUNK_SIZE HPE_INVALID_STATUS
  HPE_INVALID_EOF_STATE HPE_INVALID_TRANSFER_ENCODING HPE_CHUNK_EXTENSIONS_OVERFLOW HPE_HEADER_OVERFLOW HPE_BODY_OVERFLOW HPE_USER HPE_PAUSED
  ERR_SSL_WRONG_VERSION_NUMBER ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION ERR_SSL_UNSUPPORTED_PROTOCOL ERR_SSL_NO_PROTOCOLS_AVAILABLE
  ERR_SSL_PACKET_LENGTH_TOO_LONG ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE ERR_SSL_TLSV1_UNRECOGNIZED_NAME ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC`.split(
    /\s+/,
  ),
);
