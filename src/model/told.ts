// What lives here: which words of others may stand in a text of ours: names of errors, of system calls, of HTTP methods.
// Invariant: lists of what is known, never filters of what looks harmless: a name, a code or a method can be made of a record like any other text.
// Apart because histories, logs and messages ask the same lists.

const names: ReadonlySet<string> = new Set(
  `Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError URIError SuppressedError DOMException AbortError TimeoutError
  AssertionError SystemError DatabaseError ZodError CodedError ApplicationFailure ActivityFailure CancelledFailure ServiceError
  ConnectTimeoutError HeadersTimeoutError BodyTimeoutError SocketError HTTPParserError RequestAbortedError ResponseError ClientDestroyedError
  ClientClosedError InvalidArgumentError RequestRetryError ResponseExceededMaxSizeError BalancedPoolMissingUpstreamError`.split(
    /\s+/,
  ),
);

/** The name of an error if it is a known one; else what kind of value was thrown. */
export function toldName(error: unknown): string {
  if (!(error instanceof Error)) return `A thrown ${error === null ? 'null' : typeof error}`;
  const { name } = error as { name?: unknown };
  return typeof name === 'string' && names.has(name) ? name : 'An error';
}

const syscalls: ReadonlySet<string> = new Set(
  `accept access bind chmod chown close connect copyfile fdatasync fstat fsync ftruncate futime getaddrinfo getnameinfo kill lchown link listen
  lstat mkdir mkdtemp open opendir read readdir readlink realpath rename rmdir scandir send sendfile shutdown spawn stat statfs symlink
  uv_spawn unlink utime watch write writev queryA queryAaaa queryAny queryCaa queryCname queryMx queryNaptr queryNs queryPtr querySoa querySrv
  queryTxt getHostByAddr`.split(/\s+/),
);

/** The system call that failed, if it is one; `spawn` is followed by the program, which is left out. */
export function toldSyscall(syscall: string): string | undefined {
  const [first = ''] = syscall.split(' ');
  return syscalls.has(first) ? first : undefined;
}

const methods: ReadonlySet<string> = new Set('GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT QUERY'.split(' '));

/** A method of HTTP. */
export const toldMethod = (method: string): string => (methods.has(method) ? method : 'a call');
