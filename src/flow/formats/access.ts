// What lives here: lines of web servers and proxies that are not the plain combined one: with a virtual host, with less or more fields, and error logs.
// Invariant: a field that is known has its name, what is not known is kept as it is written; an address is the client's only where the line says so.
// Apart because these lines are read as text: the usual line is read byte by byte (apache.ts), and only what is not such a line comes here.
import { jsonbText } from '../parse/jsonb.ts';
import type { GrammarFormat } from '../parse/format.ts';
import { zoneSeconds } from '../parse/time.ts';
import type { TextRow } from '../parse/tuple.ts';
import type { Violation } from '../types.ts';
import { extrasOf } from './access-extras.ts';
import { type Found, intoWords, proxyLine, quotedText, stamp } from './access-proxies.ts';
import { severityOfWord } from './severities.ts';
import { instantReader, rowOrViolations, type VariantReader } from './text-row.ts';

type Attributes = Record<string, string | number>;

/** Who asked, when, what, and how it was answered; the request is looked for again without care for quotes in it. */
const request = [
  new RegExp(String.raw`^(\S.*?) ${stamp} ${quotedText} (\d{3}|-) (\d{1,15}|-)(?: (.*))?$`, 's'),
  new RegExp(String.raw`^(\S.*?) ${stamp} "(.*?)" (\d{3}) (\d{1,15}|-)(?: (".*"[^"]*))?$`, 's'),
];
const address =
  /^(?:\[?[\da-fA-F]*:[\da-fA-F:.]+(?:%\w+)?\]?|\d{1,3}(?:\.\d{1,3}){3}|localhost|[\w-]+(?:\.[\w-]+)+)(?::\d+)?$/;

/** What stands before the time: client, ident and user, and what some put before these. */
function whoOf(text: string): Attributes | undefined {
  // ingress-nginx once wrote the address twice: `203.0.113.1 - [203.0.113.1] - -`.
  const twice = /^(\S+) - \[([^\]]*)\] - (.+)$/.exec(text);
  if (twice !== null) return { client: twice[1]!, ident: '-', user: twice[3]!, forwarded_for: twice[2]! };
  // The list of a proxy in place of the client: the first is who asked, the others passed it on.
  const list = /^((?:[^\s,]+, ?)+[^\s,]+) (\S+) (.+)$/.exec(text);
  if (list !== null)
    return { client: list[1]!.split(',')[0]!, ident: list[2]!, user: list[3]!, forwarded_for: list[1]! };
  const words = text.split(' ');
  const [one, two, three] = words as [string, string | undefined, string | undefined];
  if (two === undefined || three === undefined) return undefined;
  if (words.length > 3 && two !== '-' && address.test(two) && words[2] !== '')
    return { vhost: one, client: two, ident: three, user: words.slice(3).join(' ') };
  return { client: one, ident: two, user: words.slice(2).join(' ') };
}

const answer = (status: string, bytes: string): Attributes | undefined => {
  const code = Number(status);
  if (status !== '-' && status !== '000' && (code < 100 || code > 599)) return undefined;
  if (/^0\d/.test(bytes)) return undefined;
  return {
    ...(status === '-' || status === '000' ? {} : { status: code }),
    ...(bytes === '-' ? {} : { bytes: Number(bytes) }),
  };
};

function accessLine(text: string): Found | undefined {
  for (const layout of request) {
    const found = layout.exec(text);
    if (found === null) continue;
    const [, before, time, message, status, bytes, rest = ''] = found as unknown as string[];
    const who = whoOf(before!);
    const answered = answer(status!, bytes!);
    const extras = extrasOf(rest!);
    if (who === undefined || answered === undefined || extras === undefined) continue;
    return { time: time!, message: message!, attributes: { ...extras, ...who, ...intoWords(message!), ...answered } };
  }
  return undefined;
}

const apacheError =
  /^\[([A-Z][a-z]{2} [A-Z][a-z]{2} +\d{1,2} [\d:.]+ \d{4})\] (?:\[([\w-]*):(\w+)\]|\[(\w+)\])(?: \[pid ([\d:a-z ]+)\])?(?: \[(?:remote|client) ([^\]]+)\])? (.*)$/s;
const nginxError = /^(\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d) \[(\w+)\] (\d+)#(\d+): (?:\*(\d+) )?(.*)$/s;

/** Who asked, as nginx says it behind its message; what an upstream said stands in quotes before that, and may say what it likes. */
function nginxClient(message: string): string | undefined {
  const find = (text: string): string | undefined => /, client: ([\da-fA-F:.]+|unix:)(?:,|$)/.exec(text)?.[1];
  return find(message.slice(Math.max(0, message.lastIndexOf('" while ')))) ?? find(message);
}

/** Apache writes `trace1` to `trace8`. */
const errorSeverity = (word: string): string => severityOfWord(word.replace(/^trace\d$/, 'trace')) ?? word;

function errorLine(text: string): Found | undefined {
  const apache = apacheError.exec(text);
  if (apache !== null) {
    const [, time, module, level, bare, pid, client, message] = apache as unknown as (string | undefined)[];
    const attributes = {
      ...(pid === undefined ? {} : { pid }),
      ...(client === undefined ? {} : { client }),
    };
    return {
      time: time!,
      module: module || 'error',
      severity: errorSeverity((level ?? bare)!),
      message: message!,
      attributes,
    };
  }
  const nginx = nginxError.exec(text);
  if (nginx === null) return undefined;
  const [, time, level, pid, , connection, message] = nginx as unknown as string[];
  const client = nginxClient(message!);
  return {
    time: time!,
    module: 'error',
    severity: errorSeverity(level!),
    message: message!,
    attributes: {
      pid: pid!,
      ...(connection === undefined ? {} : { connection }),
      ...(client === undefined ? {} : { client }),
    },
  };
}

/** Makes the reader of what the grammar of the combined line does not read. It gives undefined for what is none of these lines either. */
export function accessVariants(format: GrammarFormat, dataDay: number): VariantReader {
  const zone = format.zone ?? 'Z';
  const instant = instantReader({ east: zoneSeconds(zone), dataDay }, zone);
  const bySize = format.severityOf!.byFirstDigit;
  return (text): TextRow | readonly Violation[] | undefined => {
    const found = accessLine(text) ?? proxyLine(text) ?? errorLine(text);
    if (found === undefined) return undefined;
    const { status } = found.attributes;
    const parts = {
      time: instant(found.time),
      // A request that was never answered went wrong, and not by the client's mistake alone.
      severity: found.severity ?? bySize[String(status ?? '4')[0]!] ?? 'WARN',
      module: found.module ?? format.module!,
      message: found.message,
      attributes: Object.keys(found.attributes).length === 0 ? undefined : jsonbText(found.attributes),
    };
    return rowOrViolations(parts, undefined);
  };
}
