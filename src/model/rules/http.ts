// What lives here: what the status of an HTTP answer means.
// Invariant: every number from 400 to 599 has a rule, its own or that of its hundred; the class says what the same call would get again.
// Apart because statuses are looked up by people who have one in front of them.
import { waitingStatuses } from '../retry-after.ts';
import { type Rule, rules } from './rule.ts';

export const httpRules: readonly Rule[] = [
  // A failure only where nobody was allowed to follow it; 304 is an answer, not a failure.
  ...rules('redirect_refused', '300 301 302 303 305 306 307 308'),
  ...rules('http_401', '401'),
  ...rules('http_402', '402'),
  ...rules('http_403', '403'),
  // An API that counts calls says so with a 403 as well.
  ...rules('http_429', '403', { asks: true }),
  ...rules('http_404', '404'),
  ...rules('http_407', '407'),
  ...rules('http_408', '408'),
  ...rules('http_409', '409'),
  ...rules('http_410', '410'),
  ...rules('http_412', '412'),
  ...rules('http_413', '413'),
  ...rules('http_503_retry_after', '413', { asks: true }),
  ...rules('http_416', '416'),
  ...rules('http_421', '421'),
  ...rules('http_423', '423 424'),
  ...rules('http_425', '425'),
  ...rules('http_429', '420 429'),
  ...rules('http_451', '451'),
  // Wrong in the request itself: 400, 405, 406, 411, 414, 415, 417, 418, 422, 426, 428, 431 and what has no name.
  ...rules('http_400', '4xx'),
  ...rules('http_500', '500'),
  ...rules('http_501', '501 505 506 508 510'),
  ...rules('http_502', '502 520'),
  ...rules('http_503', '503'),
  ...rules('http_503_retry_after', '503', { asks: true }),
  // 522, 524, 598 and 599 are a gateway's own words for "waited too long".
  ...rules('http_504', '504 522 524 598 599'),
  ...rules('http_507', '507 509 529'),
  ...rules('http_511', '511'),
  ...rules('http_521', '521 523 525 527 530'),
  ...rules('tls_invalid', '526'),
  ...rules('http_500', '5xx'),
];

/** Statuses whose Retry-After counts; on others it is decoration. */
export const statusesThatAsk: ReadonlySet<number> = new Set([...waitingStatuses, 403, 420]);
