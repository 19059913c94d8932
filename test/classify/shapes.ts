// What lives here: an error of a driver as JSON, and back: what `classify` may look at, and no more.
// Invariant: freezing and thawing changes nothing that a driver states; ports, folders and names of this run are blanked, so that two recordings compare.
// Apart because the golden file outlives the drivers that filled it.

export interface Shape {
  readonly name?: string;
  readonly message?: string;
  readonly [field: string]: unknown;
  readonly cause?: Shape;
  readonly errors?: readonly Shape[];
}

const fields = ['code', 'errno', 'syscall', 'status', 'statusCode', 'timeoutType', 'type', 'nonRetryable', 'severity'];
const headersKept = ['retry-after', 'date', 'x-ratelimit-remaining', 'x-ratelimit-reset'];

const blank = (text: string): string =>
  text
    .replaceAll(/(127\.0\.0\.1|::1|localhost)(:| )\d{2,5}\b/g, '$1$2<port>')
    .replaceAll(/\/[\w./-]*mendflow-classify-\w+/g, '<folder>')
    .replaceAll(/\btest_[0-9a-f]{12}\b/g, 'test_database')
    .replaceAll(/\b(process|PID|transaction|database|relation) \d+\b/g, '$1 0')
    .replaceAll(/\b[0-9A-F]{16}:/g, '0:');

export function freeze(error: unknown): Shape {
  if (error === null || typeof error !== 'object') return { message: String(error) };
  const from = error as Record<string, unknown>;
  const shape: Record<string, unknown> = { name: from['name'] };
  if (typeof from['message'] === 'string') shape['message'] = blank(from['message']);
  for (const field of fields)
    if (from[field] !== undefined && typeof from[field] !== 'object')
      shape[field] = typeof from[field] === 'string' ? blank(from[field]) : from[field];
  const socket = from['socket'] as { bytesWritten?: unknown } | null | undefined;
  if (typeof socket?.bytesWritten === 'number') shape['socket'] = { bytesWritten: Math.min(1, socket.bytesWritten) };
  const headers = from['headers'] as Record<string, unknown> | null | undefined;
  if (headers && typeof headers === 'object')
    shape['headers'] = Object.fromEntries(
      headersKept.flatMap((key) => (headers[key] === undefined ? [] : [[key, headers[key]]])),
    );
  if (Array.isArray(from['errors'])) shape['errors'] = from['errors'].map(freeze);
  if (from['cause'] !== undefined && from['cause'] !== null) shape['cause'] = freeze(from['cause']);
  return shape as Shape;
}

/** The golden file holds no stacks, and to take one costs more than all that is asked of the error. */
function withoutStack<T>(make: () => T): T {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

export function thaw({ message, cause, errors, ...rest }: Shape): Error {
  const error =
    errors === undefined ? withoutStack(() => new Error(message)) : new AggregateError(errors.map(thaw), message);
  for (const [key, value] of Object.entries(rest))
    Object.defineProperty(error, key, { value, enumerable: true, configurable: true, writable: true });
  if (cause !== undefined) error.cause = thaw(cause);
  return error;
}
