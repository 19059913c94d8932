// What lives here: what reached the demo upstream: one line a request, written when it arrives.
// Invariant: no credential stands in it, only a short hash that tells two apart; a request that is never answered is in it too.
// Apart because tests count here, from the other side, what the breaker promises: calls, probes per cooldown, peaks per second.
import { createHash } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import type { Fault, Route } from './faults.ts';

export interface LogLine {
  readonly no: number;
  /** ms since 1970. */
  readonly at: number;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly route: Route;
  /** As decided when it arrived; 0 where no status is sent at all. */
  readonly status: number;
  /** Why it was not answered rightly: a fault of the script, `token` or `rate`. */
  readonly fault?: Fault['kind'] | 'token' | 'rate';
  /** Hash of the credential it carried. */
  readonly token?: string;
}

export interface RequestLog {
  add(line: Omit<LogLine, 'no' | 'at'>): void;
  lines(): readonly LogLine[];
  clear(): void;
}

/** More than any test or story sends; then the oldest go. */
const LINES_MAX = 200_000;

export function openLog(file: string | undefined): RequestLog {
  let lines: LogLine[] = [];
  let no = 0;
  return {
    add: (line) => {
      const whole: LogLine = { no: ++no, at: Date.now(), ...line };
      lines.push(whole);
      if (lines.length > LINES_MAX) lines = lines.slice(LINES_MAX / 2);
      if (file !== undefined) appendFileSync(file, `${JSON.stringify(whole)}\n`);
    },
    lines: () => [...lines],
    clear: () => void (lines = []),
  };
}

export const tokenHash = (token: string): string => createHash('sha256').update(token).digest('hex').slice(0, 8);

/** The most requests that arrived within any 1,000 ms. */
export function peakPerSecond(lines: readonly Pick<LogLine, 'at'>[]): number {
  let peak = 0;
  let first = 0;
  for (let last = 0; last < lines.length; last++) {
    while (lines[last]!.at - lines[first]!.at >= 1_000) first++;
    peak = Math.max(peak, last - first + 1);
  }
  return peak;
}
