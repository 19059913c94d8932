// What lives here: line formats that a user declares as a pattern with named groups.
// Invariant: the pattern runs on RE2, in time that grows with the line and not with its tricks: lines come from strangers.
// Apart because each line format is one file.
import { RE2JS } from 're2js';
import type { PatternFormat } from '../parse/format.ts';
import { jsonbText } from '../parse/jsonb.ts';
import { timePatternReader } from '../parse/time-pattern.ts';
import { zoneSeconds } from '../parse/time.ts';
import type { Note } from '../parse/tuple.ts';
import { SEVERITY_NONE, severityOfWord } from './severities.ts';
import { instantReader, rowOrViolations, type TextReader } from './text-row.ts';

const columns = ['time', 'severity', 'module', 'message'];

type Attributes = Record<string, string | number>;

/** Throws RangeError if RE2 cannot read the pattern or it has no group `time` or `message`. */
function compiled({ name, pattern: text, messageOf }: PatternFormat): RE2JS {
  let pattern: RE2JS;
  try {
    pattern = RE2JS.compile(text, RE2JS.DOTALL);
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new RangeError(`Format "${name}": RE2 cannot read its pattern: ${what}.`, { cause });
  }
  const names = Object.keys(pattern.namedGroups());
  const missing = (messageOf === undefined ? ['time', 'message'] : ['time']).filter(
    (needed) => !names.includes(needed),
  );
  if (missing.length > 0)
    throw new RangeError(
      `Format "${name}" has no group ${missing.map((each) => `(?P<${each}>…)`).join(' and no group ')} in its pattern.`,
    );
  return pattern;
}

/** Whether a line matches. Throws as `patternReader` does. */
export function patternTest(format: PatternFormat): (line: string) => boolean {
  const pattern = compiled(format);
  return (line) => pattern.matches(line);
}

/** What is stored for a severity, and what is worth telling of it. */
function severityReader(format: PatternFormat): (written: string | undefined, found: Attributes) => [string, Note?] {
  const { stored = {}, severityDefault, severityOf } = format;
  const map = new Map(Object.entries(stored));
  return (written, found) => {
    const text = written?.trim() ?? '';
    if (text !== '') {
      const word = map.get(text) ?? severityOfWord(text);
      return word === undefined ? [text, 'severity_unmapped'] : [word];
    }
    if (severityOf !== undefined) {
      // A request that was never answered went wrong, and not by the client's mistake alone.
      const number = String(found[severityOf.group] ?? '4');
      return [map.get(number) ?? map.get(number[0]!) ?? severityOf.byFirstDigit[number[0]!] ?? 'WARN'];
    }
    return severityDefault === undefined ? [SEVERITY_NONE, 'severity_none'] : [severityDefault];
  };
}

/** `GET /a?b=c HTTP/1.1` of its parts. */
const requestOf = (found: Attributes, names: readonly string[]): string =>
  names
    .map((name) => found[name] ?? '')
    .filter((part) => part !== '')
    .join(' ')
    .replace(' ?', '?');

/** Makes the reader of a declared pattern. Throws RangeError if the declaration is wrong. */
export function patternReader(format: PatternFormat, dataDay: number): TextReader {
  const pattern = compiled(format);
  const names = Object.keys(pattern.namedGroups());
  const attributeNames = names.filter((name) => !columns.includes(name));
  const numbers = new Set(format.numbers);
  const zone = format.zone ?? 'Z';
  const options = { east: zoneSeconds(zone), dataDay };
  const instant = format.times === undefined ? instantReader(options, zone) : timePatternReader(format.times, options);
  const severityOf = severityReader(format);
  return (text, more) => {
    const matcher = pattern.matcher(text);
    if (!matcher.matches())
      return [
        { field: 'line', code: 'line_shape', message: `The line does not match the pattern of "${format.name}".` },
      ];
    const group = (name: string): string | undefined =>
      names.includes(name) ? (matcher.group(name) ?? undefined) : undefined;
    const found: Attributes = {};
    for (const name of attributeNames) {
      const value = group(name);
      if (value === undefined || (numbers.has(name) && value === '-')) continue;
      found[name] = numbers.has(name) && /^(?:0|[1-9]\d{0,14})$/.test(value) ? Number(value) : value;
    }
    const head = group('message') ?? requestOf(found, format.messageOf ?? []);
    const words = format.words === undefined ? [] : head.split(' ');
    if (words.length === format.words?.length && !words.includes(''))
      for (const [index, name] of format.words.entries()) found[name] ??= words[index]!;
    const [severity, note] = severityOf(group('severity'), found);
    const parts = {
      time: instant(group('time') ?? ''),
      severity,
      module: group('module') || format.moduleDefault,
      message: head + more,
      attributes: Object.keys(found).length === 0 ? undefined : jsonbText(found),
    };
    return rowOrViolations(parts, undefined, note === undefined ? [] : [note]);
  };
}
