// What lives here: from any thrown value to a Failure, by walking what real drivers throw.
// Invariant: total and pure; the most specific fact wins (own code, SQLSTATE, errno, status, name, message), of equals the one that retrying helps least;
// what no rule knows is `unknown`. Nothing of a message is repeated: it may quote a record.
// Apart because it is usable alone: `classify(error)` needs nothing of Mendflow around it.
import {
  type Code,
  CodedError,
  type Commit,
  codes,
  type Failure,
  type FailureClass,
  failure,
  isCode,
} from './failure.ts';
import { callsSpent, type HeadersLike, waitAsked } from './retry-after.ts';
import { statusesThatAsk } from './rules/http.ts';
import { llhttpCodes } from './rules/network.ts';
import { ruleTables, type RuleTables } from './rules/index.ts';
import { indexOf, type Rule, ruleFor } from './rules/rule.ts';
import { errnoInMessage } from './rules/words.ts';
import { toldName, toldSyscall } from './told.ts';

export interface ClassifyOptions {
  /** Now, in ms: what a Retry-After date is compared with if the answer has no `Date`. */
  readonly now?: number;
}

/** One thing that is known about an error; a lower rank is more specific. */
interface Found {
  readonly rank: number;
  readonly depth: number;
  readonly failure: Failure;
  /** From the network's tables, so that an unsent request changes what is known of the effect. */
  readonly network: boolean;
}

const ranks = { own: 0, sql: 1, code: 2, status: 3, name: 4, words: 5, weak: 6, weakWords: 7, programming: 8 } as const;
const severity: Readonly<Record<FailureClass, number>> = {
  permanent: 0,
  data: 1,
  delayed: 2,
  throttled: 2,
  transient: 3,
  unknown: 4,
};
const DEPTH_MAX = 10;
const SEEN_MAX = 100;

type Shape = Readonly<Record<string, unknown>>;
const unsentMark = Symbol.for('mendflow.unsent');

/** Marks an error as raised before the first byte of the request was sent, so that the call certainly had no effect. */
export function unsent<E extends object>(error: E): E {
  if (Object.isExtensible(error)) Object.defineProperty(error, unsentMark, { value: true, configurable: true });
  return error;
}

/** Names any error. Wrapping in causes or an AggregateError never changes the answer. */
export const classify = classifierOf(ruleTables);

/** A `classify` with tables of one's own, for tests that change a rule and see who notices. */
export function classifierOf(tables: RuleTables): (error: unknown, options?: ClassifyOptions) => Failure {
  const lookup = lookupsOf(tables);
  return (error, options = {}) => {
    try {
      const found = best(walk(error).map(({ shape, depth }) => ({ depth, facts: lookup(shape, options), shape })));
      if (found) return found;
    } catch {
      // A value whose very properties throw is no failure that any rule knows.
      return failure('unknown', 'A thrown value that cannot be looked at.', { rule: 'none' });
    }
    return failure('unknown', `${toldName(error)} that no rule knows.`, { rule: 'none' });
  };
}

interface Looked {
  readonly depth: number;
  readonly shape: Shape;
  readonly facts: readonly Omit<Found, 'depth'>[];
}

function best(looked: readonly Looked[]): Failure | undefined {
  const found: Found[] = looked.flatMap(({ depth, facts }) => facts.map((fact) => ({ ...fact, depth })));
  const [first] = found.toSorted(compare);
  if (first === undefined) return undefined;
  return first.network && first.failure.commit === 'unknown' && looked.some(({ shape }) => isUnsent(shape))
    ? { ...first.failure, commit: 'no' }
    : first.failure;
}

/** An own code is said by whoever knows most, so of several the outermost counts; of all else the one that retrying helps least. */
const compare = (one: Found, other: Found): number =>
  one.rank - other.rank ||
  (one.rank === ranks.own ? one.depth - other.depth : 0) ||
  severity[one.failure.class] - severity[other.failure.class] ||
  one.depth - other.depth ||
  certainty[one.failure.commit] - certainty[other.failure.commit];
const certainty: Readonly<Record<Commit, number>> = { unknown: 0, no: 1, 'rolled-back': 1 };

/** Each object once, breadth first, and only so many: an error may be its own cause, or hold a thousand others. */
function walk(error: unknown): { shape: Shape; depth: number }[] {
  const seen = new Map<object, number>();
  let level: unknown[] = [error];
  for (let depth = 0; depth <= DEPTH_MAX && level.length > 0; depth++) {
    const below: unknown[] = [];
    for (const one of level) {
      if (one === null || typeof one !== 'object' || seen.has(one) || seen.size >= SEEN_MAX) continue;
      seen.set(one, depth);
      const { errors, cause } = one as { errors?: unknown; cause?: unknown };
      if (Array.isArray(errors)) below.push(...(errors as unknown[]).slice(0, SEEN_MAX));
      below.push(cause);
    }
    level = below;
  }
  return [...seen].map(([shape, depth]) => ({ shape: shape as Shape, depth }));
}

/** The bytes that a socket wrote, as undici tells; a connection that did not come about; TLS that was not agreed on. */
function isUnsent(shape: Shape): boolean {
  const { socket, syscall } = shape as { socket?: { bytesWritten?: unknown } | null; syscall?: unknown };
  return (
    (shape as { [unsentMark]?: unknown })[unsentMark] === true ||
    syscall === 'connect' ||
    syscall === 'getaddrinfo' ||
    (typeof socket === 'object' && socket?.bytesWritten === 0)
  );
}

/** All that the tables say of one object. */
function lookupsOf(tables: RuleTables): (shape: Shape, options: ClassifyOptions) => Omit<Found, 'depth'>[] {
  const sql = indexOf(tables.sql);
  const coded = [tables.dns, tables.errno, tables.tls, tables.client].map(indexOf);
  const [http, names, timeouts] = [indexOf(tables.http), indexOf(tables.name), indexOf(tables.timeout)];
  const told = (rule: Pick<Rule, 'code' | 'commit'>, detail: string, rank: number, name: string, network = false) => ({
    rank,
    network,
    failure: failure(rule.code, `${codes[rule.code].says}${detail === '' ? '' : ` (${detail})`}`, {
      rule: name,
      ...(rule.commit === undefined ? {} : { commit: rule.commit }),
    }),
  });

  const byCode = (shape: Shape, code: string): Omit<Found, 'depth'> | undefined => {
    const at = { syscall: textOf(shape['syscall']), message: textOf(shape['message']) };
    for (const table of coded) {
      const rule = ruleFor(table, [code, ...familiesOf(code)], at);
      if (rule === undefined) continue;
      // Of a code that only its family is known by, only the family is told.
      const known = rule.on === code || llhttpCodes.has(code) ? code : rule.on;
      const syscall = at.syscall === undefined ? undefined : toldSyscall(at.syscall);
      const where = syscall === undefined ? known : `${known} in ${syscall}`;
      return told(rule, where, rule.weak === true ? ranks.weak : ranks.code, `code:${known}`, true);
    }
    const state = /^[0-9A-Z]{5}$/.test(code) ? ruleFor(sql, [code, code.slice(0, 2)], at) : undefined;
    if (state) return told(state, `SQLSTATE ${code}`, state.weak === true ? ranks.weak : ranks.sql, `sqlstate:${code}`);
    return undefined;
  };

  const byWords = (shape: Shape, name: string | undefined): Omit<Found, 'depth'> | undefined => {
    const message = textOf(shape['message']);
    if (message === undefined) return undefined;
    for (const rule of tables.words)
      if ((rule.name === undefined || rule.name === name) && rule.pattern.test(message))
        return told(
          rule,
          '',
          rule.weak === true ? ranks.weakWords : ranks.words,
          `message:${rule.pattern.source}`,
          true,
        );
    // Only where no code says it: an error that went through Temporal or a log has lost its code, and keeps the words.
    const [, syscall, code] = typeof shape['code'] === 'string' ? [] : (errnoInMessage.exec(message) ?? []);
    const named = code === undefined ? undefined : byCode({ syscall }, code);
    return named && { ...named, rank: Math.max(ranks.words, named.rank) };
  };

  return (shape, options) => {
    const own = ownWord(shape);
    if (own) return [{ rank: ranks.own, network: false, failure: own }];
    const name = nameIn(shape);
    const code = shape['code'];
    const byName = name === undefined ? undefined : ruleFor(names, [name]);
    const timeout = typeof shape['timeoutType'] === 'string' ? ruleFor(timeouts, [shape['timeoutType']]) : undefined;
    return [
      typeof code === 'string' ? byCode(shape, code) : undefined,
      byStatus(shape, http, options),
      timeout && told(timeout, '', ranks.name, `timeout:${String(shape['timeoutType'])}`),
      byWords(shape, name),
      byName &&
        told(
          byName,
          byName.code === 'code_bug' ? name! : '',
          byName.weak !== true ? ranks.name : byName.code === 'code_bug' ? ranks.programming : ranks.weak,
          `name:${name}`,
          true,
        ),
    ].filter((found) => found !== undefined);
  };
}

/** `UND_ERR_SOMETHING_NEW` belongs to `UND_ERR_SOMETHING_*` and to `UND_ERR_*`. */
const familiesOf = (code: string): string[] => {
  const words = code.split('_');
  return words.slice(1).map((_, index) => `${words.slice(0, words.length - 1 - index).join('_')}_*`);
};

/** The status of an answer, on the error itself or on the answer it carries, and what its headers ask for. */
function byStatus(shape: Shape, http: ReturnType<typeof indexOf>, { now }: ClassifyOptions) {
  const answer =
    shape['response'] !== null && typeof shape['response'] === 'object' ? (shape['response'] as Shape) : {};
  const meta = shape['$metadata'] as { httpStatusCode?: unknown } | undefined;
  const status = [
    shape['statusCode'],
    shape['status'],
    answer['status'],
    answer['statusCode'],
    meta?.httpStatusCode,
  ].find(
    (value): value is number => typeof value === 'number' && Number.isInteger(value) && value >= 300 && value <= 599,
  );
  if (status === undefined) return undefined;
  const headers = [shape['headers'], answer['headers']].find((value) => value !== null && typeof value === 'object') as
    | HeadersLike
    | undefined;
  const asked = headers && waitAsked(headers, { now, status, statuses: statusesThatAsk });
  const asks = (asked ?? 0) > 0 || (status === 403 && headers !== undefined && callsSpent(headers));
  const rule = ruleFor(http, [String(status), `${Math.floor(status / 100)}xx`], { asks });
  if (rule === undefined) return undefined;
  return {
    rank: ranks.status,
    network: false,
    failure: failure(rule.code, `${codes[rule.code].says} (HTTP ${status})`, {
      rule: `status:${status}`,
      ...(asked === undefined ? {} : { nextDelayMs: asked }),
    }),
  };
}

/** What somebody said on purpose: our own error, what the guard threw before a round trip, or an activity of Temporal alone that calls itself final. */
function ownWord(shape: Shape): Failure | undefined {
  if (shape instanceof CodedError) return shape.failure;
  const { type, nonRetryable, details } = shape;
  const [first] = Array.isArray(details) ? (details as unknown[]) : [];
  const sent = (first as { failure?: Partial<Failure> } | null | undefined)?.failure;
  if (isCode(type) && sent && sent.code === type) return readSent(type, sent);
  if (isCode(type) && shape['name'] === 'ApplicationFailure') return failure(type, codes[type].says, { rule: 'type' });
  if (nonRetryable !== true) return undefined;
  const code: Code = isCode(type) ? type : 'declared_final';
  return failure(code, codes[code].says, { rule: 'nonRetryable' });
}

const commits: readonly unknown[] = ['no', 'unknown', 'rolled-back'] satisfies Commit[];
/** Class and fault are read anew from the table: what was sent may be of an older release. */
const readSent = (code: Code, sent: Partial<Failure>): Failure =>
  failure(code, typeof sent.text === 'string' ? sent.text : undefined, {
    ...(commits.includes(sent.commit) ? { commit: sent.commit! } : {}),
    ...(typeof sent.nextDelayMs === 'number' ? { nextDelayMs: sent.nextDelayMs } : {}),
    ...(typeof sent.upstream === 'string' ? { upstream: sent.upstream } : {}),
    ...(isCode(sent.held) ? { held: sent.held } : {}),
    ...(typeof sent.redo === 'string' ? { redo: sent.redo } : {}),
    ...(typeof sent.rule === 'string' ? { rule: sent.rule } : {}),
  });

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
/** An ApplicationFailure keeps the name of the error it was made of as its type. */
const nameIn = ({ name, type }: Shape): string | undefined =>
  name === 'ApplicationFailure' ? textOf(type) : textOf(name);
