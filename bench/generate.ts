// What lives here: log files that look real, made from a seed: the raw file with planted poison, and its clean rows as COPY text.
// Invariant: one seed gives one pair of files, byte for byte, on every machine; memory does not grow with the number of lines.
// Apart because the benchmark, the story and tests must all know exactly what is in the files they load.
import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { jsonbText } from '../src/flow/parse/jsonb.ts';

export interface GenerateOptions {
  readonly format: 'plain' | 'log4j' | 'apache';
  readonly lines: number;
  /** Where the raw log goes. */
  readonly raw: string;
  /** Where the clean rows go, as `\copy log_entries from` reads them. */
  readonly clean: string;
  /** Share of poisoned lines, 0..1. Default 0.005. */
  readonly poisonShare?: number;
  /** Default 0x9e3779b9; never 0. */
  readonly seed?: number;
  readonly sourceId?: string;
  readonly dataDate?: string;
  readonly generation?: number;
}

export interface Generated {
  /** Physical lines. */
  readonly lines: number;
  /** Clean rows. */
  readonly rows: number;
  /** Poisoned records, by what was done to them. */
  readonly poison: Readonly<Record<string, number>>;
  readonly rawBytes: number;
  readonly rawSha256: string;
  readonly cleanBytes: number;
  readonly cleanSha256: string;
}

const modules = 'api auth billing cache cart checkout feed mailer search worker'.split(' ');
const words = (
  'request accepted user session order payment retry queue timeout connection closed opened index page token refreshed ' +
  'cache miss hit batch written record loaded stage chunk committed lease taken upstream answered slowly probe ok budget spent ' +
  'parked resumed café naïve'
).split(' ');
const agents = [
  'Mozilla/5.0 (X11; Linux x86_64) "quoted"',
  'curl/8.5.0',
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)',
];
const months = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ');

/** xorshift32: small, quick, and the same everywhere. Returns whole numbers below `limit`. */
function random(seed: number): (limit: number) => number {
  let state = seed | 0;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}
type Random = ReturnType<typeof random>;

/** A record before it is written: the line, its clean row, and how to spoil it. */
interface Made {
  readonly line: string;
  readonly severity: string;
  readonly module: string;
  readonly message: string;
  readonly attributes?: Readonly<Record<string, string | number>>;
  /** Lines that follow and belong to it. */
  readonly more?: string;
  /** A kind of poison and the line that it makes. */
  spoil(kind: number): readonly [string, string];
}

const severityOf = (next: Random): string => {
  const share = next(100);
  return share < 80 ? 'INFO' : share < 95 ? 'WARN' : 'ERROR';
};

function sentence(next: Random): string {
  const parts = [`id=${next(0x7fffffff).toString(36)}`];
  for (let left = 6 + next(10); left > 0; left--) parts.push(words[next(words.length)]!);
  return parts.join(' ');
}

function plainLine(next: Random, at: Date): Made {
  const iso = at.toISOString();
  const severity = severityOf(next);
  const module = modules[next(modules.length)]!;
  const message = sentence(next);
  const line = `${iso} ${severity} [${module}] ${message}`;
  return {
    line,
    severity,
    module,
    message,
    spoil: (kind) =>
      (
        [
          ['truncated', line.slice(0, 12 + (message.length % 18))],
          ['severity', `${iso} INFOO [${module}] ${message}`],
          ['date', `${iso.slice(0, 4)}-02-30${iso.slice(10)} ${severity} [${module}] ${message}`],
          ['module', `${iso} ${severity} [] ${message}`],
          ['stray', `restarting ${module}, please wait`],
        ] as const
      )[kind]!,
  };
}

function log4jLine(next: Random, at: Date): Made {
  const stamp = at.toISOString().replace('T', ' ').replace('.', ',').slice(0, 23);
  const severity = severityOf(next);
  const module = `shop.${modules[next(modules.length)]!}.Service`;
  const message = sentence(next);
  const line = `[${stamp}] ${severity} ${message} (${module})`;
  const more =
    next(40) === 0
      ? `java.io.IOException: closed\n\tat shop.Io.read(Io.java:${next(900)})\n\tat shop.Main.run(Main.java:7)`
      : '';
  return {
    line,
    severity,
    module,
    message,
    ...(more === '' ? {} : { more }),
    spoil: (kind) =>
      (
        [
          ['truncated', line.slice(0, 12 + (message.length % 18))],
          ['severity', `[${stamp}] NOTICED ${message} (${module})`],
          ['date', `[${stamp.slice(0, 4)}-02-30${stamp.slice(10)}] ${severity} ${message} (${module})`],
          ['clock', `[${stamp.slice(0, 11)}25${stamp.slice(13)}] ${severity} ${message} (${module})`],
          ['nul', `[${stamp}] ${severity} ${message}\0 (${module})`],
        ] as const
      )[kind]!,
  };
}

function apacheLine(next: Random, at: Date): Made {
  const iso = at.toISOString();
  const stamp = `${iso.slice(8, 10)}/${months[at.getUTCMonth()]!}/${iso.slice(0, 4)}:${iso.slice(11, 19)} +0000`;
  const client = `10.${next(256)}.${next(256)}.${next(256)}`;
  const path = `/${modules[next(modules.length)]!}/${next(0x7fffffff).toString(36)}`;
  const status = [200, 200, 200, 200, 304, 404, 500][next(7)]!;
  const size = status === 304 ? undefined : next(200_000);
  const agent = agents[next(agents.length)]!.replaceAll('"', '\\"');
  const message = `GET ${path} HTTP/1.1`;
  const rest = (when: string, code: string, bytes: string): string =>
    `${client} - - [${when}] "${message}" ${code} ${bytes} "-" "${agent}"`;
  const line = rest(stamp, String(status), size === undefined ? '-' : String(size));
  return {
    line,
    severity: status >= 500 ? 'ERROR' : status >= 400 ? 'WARN' : 'INFO',
    module: 'access',
    message,
    attributes: {
      client,
      ident: '-',
      user: '-',
      method: 'GET',
      path,
      protocol: 'HTTP/1.1',
      status,
      referrer: '-',
      agent,
      ...(size === undefined ? {} : { bytes: size }),
    },
    spoil: (kind) =>
      (
        [
          ['truncated', line.slice(0, -1 - (path.length % 9))],
          ['status', rest(stamp, '999', '1')],
          ['date', rest(`30/Feb/${stamp.slice(7)}`, String(status), '1')],
          ['bytes', rest(stamp, String(status), '12x')],
          ['stack', '    at java.base/java.lang.Thread.run(Thread.java:1583)'],
        ] as const
      )[kind]!,
  };
}

const makers = { plain: plainLine, log4j: log4jLine, apache: apacheLine };

/** A value as COPY's text format escapes it. */
const copyText = (value: string): string =>
  value.replace(/[\\\t\n\r]/g, (found) => ({ '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' })[found]!);

/** A file that is written in blocks and hashed on the way. */
class Output {
  readonly #fd: number;
  readonly #sha256: Hash = createHash('sha256');
  #pending: string[] = [];
  #pendingChars = 0;
  bytes = 0;
  constructor(path: string) {
    this.#fd = openSync(path, 'w');
  }
  write(text: string): void {
    this.#pending.push(text);
    this.#pendingChars += text.length;
    if (this.#pendingChars > 1 << 20) this.#flush();
  }
  #flush(): void {
    const block = Buffer.from(this.#pending.join(''));
    for (let at = 0; at < block.length;) at += writeSync(this.#fd, block, at);
    this.#sha256.update(block);
    this.bytes += block.length;
    this.#pending = [];
    this.#pendingChars = 0;
  }
  /** Writes what is left and returns the hash of everything. */
  close(): string {
    this.#flush();
    closeSync(this.#fd);
    return this.#sha256.digest('hex');
  }
}

/** Writes both files and says what is in them. */
export function generate(options: GenerateOptions): Generated {
  const { format, lines: wanted, poisonShare = 0.005, seed = 0x9e3779b9 } = options;
  const { sourceId = '1', dataDate = '2026-01-01', generation = 1 } = options;
  const next = random(seed);
  const raw = new Output(options.raw);
  const clean = new Output(options.clean);
  const poison: Record<string, number> = {};
  let time = Date.parse(`${dataDate}T00:00:00.000Z`);
  let offset = 0;
  let line = 1;
  let rows = 0;
  while (line <= wanted) {
    time += next(40);
    const made = makers[format](next, new Date(time));
    let text = made.line;
    if (next(1_000_000) < poisonShare * 1_000_000) {
      const [kind, spoiled] = made.spoil(next(5));
      poison[kind] = (poison[kind] ?? 0) + 1;
      text = spoiled;
    } else {
      const more = made.more === undefined ? '' : `\n${made.more}`;
      // Seconds only where the log has no more: Apache writes no fraction.
      const stamp = new Date(format === 'apache' ? time - (time % 1000) : time).toISOString();
      const attributes = made.attributes === undefined ? '\\N' : copyText(jsonbText(made.attributes));
      clean.write(
        `${sourceId}\t${offset}\t${line}\t${stamp}\t${made.severity}\t${made.module}\t${copyText(made.message + more)}\t${attributes}\t${dataDate}\t${generation}\n`,
      );
      text += more;
      rows++;
    }
    raw.write(`${text}\n`);
    offset += Buffer.byteLength(text) + 1;
    line += 1 + (text.match(/\n/g)?.length ?? 0);
  }
  const rawSha256 = raw.close();
  const cleanSha256 = clean.close();
  return { lines: line - 1, rows, poison, rawBytes: raw.bytes, rawSha256, cleanBytes: clean.bytes, cleanSha256 };
}
