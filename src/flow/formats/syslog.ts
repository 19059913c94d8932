// What lives here: syslog as files have it, RFC 5424 and the older RFC 3164, with or without the priority in front.
// Invariant: a year that the line does not state is the one that brings it nearest to the data date; the clock is never asked.
// Apart because each line format is one file.
import type { SyslogFormat } from '../parse/format.ts';
import { jsonbText } from '../parse/jsonb.ts';
import { daysFrom2000, isDate, monthAt, zoneSeconds } from '../parse/time.ts';
import type { Violation } from '../types.ts';
import { badTime, type Instant, instantReader, rowOrViolations, type TextReader } from './text-row.ts';

/** By the number in the priority. */
const severities = ['EMERG', 'ALERT', 'CRIT', 'ERR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG'];

export const syslog: SyslogFormat = {
  kind: 'syslog',
  name: 'syslog',
  says: 'syslog, RFC 3164 (the year comes from the data date) or RFC 5424',
  severities,
  severityDefault: 'INFO',
};

const PRIORITY_MAX = 191;
const structured = String.raw`-|(?:\[(?:[^\]"\\]|\\.|"(?:[^"\\]|\\.)*")*\])+`;
const modern = new RegExp(String.raw`^1 (\S+) (\S+) (\S+) (\S+) (\S+) (${structured})(?: (.*))?$`, 's');
const older = /^([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\S+) (.*)$/s;
const tagged = /^([^\s:[\]]+)(?:\[([^\]]*)\])?: ?(.*)$/s;

/** Makes the reader for a data date, given as days from 2000-01-01. */
export function syslogReader(format: SyslogFormat, dataDay: number): TextReader {
  const instant = instantReader('iso', format.zone ?? 'Z');
  const east = zoneSeconds(format.zone ?? 'Z');
  return (text) => {
    const priority = /^<(\d{1,3})>/.exec(text);
    const rest = text.slice(priority?.[0].length ?? 0);
    const code = priority === null ? undefined : Number(priority[1]);
    const bad: Violation[] =
      code !== undefined && code > PRIORITY_MAX
        ? [{ field: 'severity', code: 'priority_invalid', message: `Priority ${code} is above ${PRIORITY_MAX}.` }]
        : [];
    const severity = code === undefined || bad.length > 0 ? format.severityDefault : severities[code % 8]!;
    const facility = code === undefined ? {} : { facility: Math.floor(code / 8) };
    const row = readModern(rest, severity, facility) ?? readOlder(rest, severity, facility);
    if (row === undefined)
      return [...bad, { field: 'line', code: 'line_shape', message: 'The line is neither RFC 3164 nor RFC 5424.' }];
    const checked = rowOrViolations(row, format.severities);
    return bad.length === 0 ? checked : [...bad, ...('seconds' in checked ? [] : checked)];
  };

  function readModern(text: string, severity: string, facility: Record<string, number>) {
    const found = modern.exec(text);
    if (found === null) return undefined;
    const [, time, host, app, procid, msgid, data, message] = found;
    const attributes: Record<string, string | number> = { ...facility };
    for (const [name, value] of Object.entries({ host, procid, msgid, structured: data }))
      if (value !== '-') attributes[name] = value!;
    return {
      time: instant(time === '-' ? '' : time!),
      severity,
      module: app!,
      message: (message ?? '').replace(/^\ufeff/, ''),
      attributes: jsonbText(attributes),
    };
  }
  function readOlder(text: string, severity: string, facility: Record<string, number>) {
    const found = older.exec(text);
    if (found === null) return undefined;
    const [, month, day, hour, minute, second, host, rest] = found;
    const tag = tagged.exec(rest!);
    const attributes = { ...facility, host: host!, ...(tag?.[2] === undefined ? {} : { pid: tag[2] }) };
    return {
      time: nearest(text.slice(0, 15), month!, Number(day), [hour, minute, second].map(Number)),
      severity,
      // "last message repeated 3 times" has no tag, and is worth keeping all the same.
      module: tag?.[1] ?? '-',
      message: tag?.[3] ?? rest!,
      attributes: jsonbText(attributes),
    };
  }
  function nearest(text: string, monthName: string, day: number, clock: readonly number[]): Instant | Violation {
    const [hour = 0, minute = 0, second = 0] = clock;
    const month = monthAt(Buffer.from(monthName), 0);
    const year = new Date(Date.UTC(2000, 0, 1 + dataDay)).getUTCFullYear();
    const days = [year - 1, year, year + 1].flatMap((each) =>
      isDate(each, month, day) ? [daysFrom2000(each, month, day)] : [],
    );
    if (days.length === 0 || hour > 23 || minute > 59 || second > 59)
      return { ...badTime(text), code: 'timestamp_impossible', message: `"${text}" is no point in time.` };
    const best = days.reduce((a, b) => (Math.abs(b - dataDay) < Math.abs(a - dataDay) ? b : a));
    return { seconds: best * 86_400 + hour * 3600 + minute * 60 + second - east, micros: 0 };
  }
}
