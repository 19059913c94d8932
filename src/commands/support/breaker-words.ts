// What lives here: what a breaker does, in sentences: its state, why, and what happens next by itself and when.
// Invariant: read from the row alone; the same words in every command; what needs a person says which command.
// Apart because `breakers`, `upstreams`, `show`, `last-night` and `doctor` say the same thing about the same row.
import { breakerDefaults, type BreakerSettings } from '../../model/upstream.ts';
import type { Cause } from '../../model/breaker-evidence.ts';
import { inWords } from '../../model/duration.ts';
import { shellWord } from '../../model/shell.ts';
import type { BreakerEventRow, BreakerRow, BreakerStateName } from '../../store/breakers.ts';
import type { WaitsFor } from '../../store/waits.ts';
import { counted, escaped, moment, type Style } from './terminal.ts';

const stateWords: Record<BreakerStateName, string> = {
  closed: 'closed',
  open: 'open',
  half_open: 'half-open',
  ramping: 'ramping',
};
const modeWords = { auto: 'auto', forced_open: 'forced open', forced_closed: 'forced closed', observe: 'observe' };

/** `open`, `forced closed`, `open, held by http_401`, `closed, throttled`. */
export function stateOf(row: BreakerRow): string {
  if (row.mode === 'forced_open' || row.mode === 'forced_closed') return modeWords[row.mode];
  const state = stateWords[row.state];
  if (row.mode === 'observe') return `observe (${state})`;
  if (row.hold !== undefined) return `${state}, held by ${row.hold}`;
  return row.gateLeftMs === undefined ? state : `${state}, throttled`;
}

export const styleOf = (row: BreakerRow): Style =>
  !row.admit ? 'red' : row.state === 'closed' && row.mode === 'auto' ? 'green' : 'yellow';

/** Why it is as it is, from what happened last. */
export function whyOf(row: BreakerRow, last: BreakerEventRow | undefined): string {
  if (row.mode !== 'auto')
    return `${modeWords[row.mode]} by ${escaped(row.modeBy ?? 'unknown')}${row.modeWhy === undefined ? '' : `, because "${escaped(row.modeWhy)}"`}`;
  if (last === undefined) return 'nothing has happened to it yet';
  return last.kind === 'move' ? `${escaped(last.reason)}${figuresOf(last.detail)}` : eventLine(last);
}

/** ` (4 of 11 calls failed, 3 in a row; cooldown 3.2 s)`: the figures that a transition was decided by, and where it happened. */
function figuresOf(detail: Readonly<Record<string, unknown>>): string {
  const number = (name: string): number | undefined =>
    typeof detail[name] === 'number' ? (detail[name] as number) : undefined;
  const [calls, fail, slow, consecutive] = ['calls', 'fail', 'slow', 'consecutive'].map(number);
  const [cooldownMs, waitMs] = ['cooldownMs', 'waitMs'].map(number);
  const parts = [
    calls === undefined ? '' : `${counted(fail ?? 0)} of ${counted(calls)} calls failed`,
    slow === undefined || slow === 0 ? '' : `${counted(slow)} slow`,
    consecutive === undefined ? '' : `${counted(consecutive)} in a row`,
    typeof detail['worker'] === 'string' ? `seen by worker ${escaped(detail['worker'])}` : '',
    cooldownMs === undefined ? '' : `cooldown ${inWords(cooldownMs)}`,
    waitMs === undefined ? '' : `for ${inWords(waitMs)}`,
    causeWords(detail['cause']),
  ].filter((part) => part !== '');
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

/** `the last with http_503 from 127.0.0.1:8080, in daily-report/2026-11-21 extract`; empty where there was no failure. */
export function causeWords(cause: unknown, before = 'the last with '): string {
  const { code, at, by } = (cause ?? {}) as Partial<Cause>;
  if (code === undefined) return '';
  return `${before}${escaped(code)}${at === undefined ? '' : ` from ${escaped(at)}`}${by === undefined ? '' : `, in ${escaped(by)}`}`;
}

/** What happens next by itself, and when; or that nothing does, and what a person can do. `now` in ms since 1970. */
export function nextOf(row: BreakerRow, waits: WaitsFor, now: number): string {
  // The moment is the database's: now and what is left would be another second at each look.
  const at = (ms: number, when = now + ms): string => `at ${moment(new Date(when))} (in ${inWords(ms)})`;
  if (row.mode === 'forced_open')
    return row.modeLeftMs === undefined
      ? `No call is made until somebody says \`mendflow breakers auto ${shellWord(row.key)} --reason "…"\`.`
      : `No call is made; it goes back to auto by itself ${at(row.modeLeftMs, row.modeUntil)}.`;
  if (row.mode === 'forced_closed')
    return `Every call is made, whatever it meets; it goes back to auto by itself ${at(row.modeLeftMs ?? 0, row.modeUntil)}. Nothing protects the upstream until then: parked runs go on, and call again when they fail.`;
  if (row.gateLeftMs !== undefined)
    return `The upstream asked for fewer calls; they go on by themselves ${at(row.gateLeftMs, row.gateUntil)}.`;
  if (row.mode === 'observe')
    return `It counts, and lets every call through${row.modeLeftMs === undefined ? '' : `; it goes back to auto by itself ${at(row.modeLeftMs, row.modeUntil)}`}.`;
  if (row.hold !== undefined)
    return `Time does not heal ${row.hold}: mend its cause. By itself only another credential is tried, once a worker reads another value of a secret of this upstream; that is noticed within a minute, and one parked run tries it at once, each value once, whatever is left of the cooldown; if it is accepted, parked runs go on. After any other mend they go on once you \`retry\` the run that asks, or say \`mendflow breakers auto ${shellWord(row.key)} --reason "…"\`. The run that asks needs its \`retry\` either way.`;
  if (row.state === 'open' && (row.openLeftMs ?? 0) > 0)
    return `One trial ${at(row.openLeftMs ?? 0, row.openUntil)}: its probe if it declares one, else the run that has waited longest. If it passes, ${goOn(waits)}.`;
  if (row.state === 'open' || row.state === 'half_open')
    return `${row.state === 'open' ? 'The next call is its trial' : 'One trial is under way, or due'}. If it passes, ${goOn(waits)}; if not, the cooldown doubles, up to ${inWords(row.settings.cooldownMaxMs ?? breakerDefaults.cooldownMaxMs)}.`;
  if (row.state === 'ramping') {
    const rampMs = row.settings.rampMs ?? breakerDefaults.rampMs;
    const leftMs = Math.max(0, rampMs - row.changedMs);
    return `Parked runs go on in waves, ${counted(waits.parked)} are left; it is closed again ${at(leftMs, row.changedAt + rampMs)} if nothing fails.`;
  }
  return 'Calls are made; it opens by itself when the upstream fails.';
}

const goOn = ({ parked }: WaitsFor): string =>
  parked === 0 ? 'calls go on' : `the ${counted(parked)} parked run${parked === 1 ? '' : 's'} go on in waves`;

/** `12 parked (3 let go), nearest deadline 2026-11-22 06:00:00Z; 1 asks`. */
export function waitsLine(waits: WaitsFor): string {
  const parts: string[] = [];
  if (waits.parked > 0) {
    const released = waits.released > 0 ? ` (${counted(waits.released)} let go)` : '';
    const oldest = waits.oldest === null ? '' : `, the oldest since ${moment(waits.oldest)}`;
    const deadline = waits.deadline === null ? '' : `, the nearest deadline ${moment(waits.deadline)}`;
    parts.push(`${counted(waits.parked)} parked${released}${oldest}${deadline}`);
  }
  if (waits.asking > 0) parts.push(`${counted(waits.asking)} ask${waits.asking === 1 ? 's' : ''}`);
  return parts.length === 0 ? 'nobody waits' : parts.join('; ');
}

/** `after 5 failures in a row, or 50 % of at least 20 calls in 1 min; cooldown 1 min, doubling to 15 min`. */
export function settingsLine(given: Partial<BreakerSettings>): string {
  const one = { ...breakerDefaults, ...given };
  return `opens after ${one.consecutive} failures in a row, or ${share(one.failureShare)} failed or ${share(one.slowShare)} slow of at least ${one.callsMin} calls in ${inWords(one.windowMs)}; cooldown ${inWords(one.cooldownMs)}, doubling to ${inWords(one.cooldownMaxMs)}`;
}

/** The rule by which one bad path does not close the door for all: who wonders why a breaker stays closed looks at it. */
export const repeatsLine =
  "of what one run's stage meets again only the first failure counts while others are answered; a connection that fails always counts";

const share = (of: number): string => `${Math.round(of * 100)} %`;

/** `open → half-open: cooldown elapsed`; `forced open by anna, because "they move house"`. */
export function eventLine(event: BreakerEventRow): string {
  const { by, why, ...detail } = event.detail;
  if (event.kind === 'mode') {
    const mode = modeWords[event.reason as keyof typeof modeWords] ?? event.reason;
    const until =
      typeof detail['forMs'] === 'number'
        ? ` until ${moment(new Date(event.at + detail['forMs']))} (for ${inWords(detail['forMs'])})`
        : '';
    const because = typeof why === 'string' && why !== '' ? `, because "${escaped(why)}"` : '';
    const cleared = typeof detail['holdCleared'] === 'string' ? `; no longer held by ${detail['holdCleared']}` : '';
    return `${escaped(mode)}${until}${typeof by === 'string' ? ` by ${escaped(by)}` : ''}${because}${cleared}`;
  }
  if (event.kind === 'gate')
    return `${escaped(event.reason)}: the upstream asked everybody to wait${figuresOf(event.detail)}`;
  const held = typeof detail['hold'] === 'string' ? `, held by ${detail['hold']}` : '';
  return `${stateWords[event.from]} → ${stateWords[event.to]}${held}: ${escaped(event.reason)}${figuresOf(event.detail)}`;
}

/** Ready to copy, as far as they make sense now. */
export function breakerCommands(row: BreakerRow): string[] {
  const key = shellWord(row.key);
  if (row.mode !== 'auto') return [`mendflow breakers auto ${key} --reason "…"`];
  return [
    ...(row.hold === undefined
      ? []
      : [
          `mendflow retry --all --upstream ${key} --code ${row.hold} --reason "…"`,
          `mendflow breakers auto ${key} --reason "…"`,
        ]),
    ...(row.admit ? [`mendflow breakers force-open ${key} --for "1 hour" --reason "…"`] : []),
    ...(row.admit || row.hold !== undefined
      ? []
      : [`mendflow breakers force-close ${key} --for "15 minutes" --reason "…"`]),
  ];
}
