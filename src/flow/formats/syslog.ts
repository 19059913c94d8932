// What lives here: syslog as files have it: RFC 5424, the older RFC 3164, and what daemons and devices make of it by default.
// Invariant: a year that the line does not state is never one after its data date; a severity that it does not state is none.
// Apart because each line format is one file.
import { jsonbText } from '../parse/jsonb.ts';
import type { SyslogFormat } from '../parse/format.ts';
import { zoneSeconds } from '../parse/time.ts';
import type { Violation } from '../types.ts';
import { SEVERITY_NONE } from './severities.ts';
import { ciscoReader, type DeviceHead, pairsHead, levelOfPairs, mnemonic, untimedHead } from './syslog-devices.ts';
import { tagOf } from './syslog-tag.ts';
import { instantReader, rowOrViolations, type TextReader } from './text-row.ts';

/** By the number in the priority. */
const severities = ['EMERG', 'ALERT', 'CRIT', 'ERR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG'];
const facilities =
  'kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp security console solaris-cron local0 local1 local2 local3 local4 local5 local6 local7'.split(
    ' ',
  );
/** Words that `%syslogseverity-text%`, `logger -p` and macOS write for them. */
const severityNames = new Map<string, number>(
  ['emerg emergency panic', 'alert', 'crit critical', 'err error', 'warning warn', 'notice', 'info', 'debug'].flatMap(
    (names, number) => names.split(' ').map((name) => [name, number] as const),
  ),
);

export const syslog: SyslogFormat = {
  kind: 'syslog',
  name: 'syslog',
  says: 'syslog: RFC 5424, RFC 3164 (the year comes from the data date), and what rsyslog, syslog-ng, journald, BSD, macOS, Cisco, Juniper and Fortinet write by default',
  severities: [...severities, SEVERITY_NONE],
  severityDefault: SEVERITY_NONE,
};

const PRIORITY_MAX = 191;
const structured = String.raw`-|(?:\[(?:[^\]"\\]|\\.|"(?:[^"\\]|\\.)*")*\])+`;
const modern = new RegExp(String.raw`^1 (\S+) (\S+) (\S+) (\S+) (\S+) (${structured})(?: (.*))?$`, 's');

const month = '(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)';
const clock = String.raw`\d\d:\d\d:\d\d(?:[.,]\d+)?`;
/** What a line may begin with: ISO (rsyslog, journalctl), the old stamp with or without weekday and year, or seconds since 1970. */
const stamp = [
  String.raw`(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?\d{4}-\d\d-\d\d[T ]${clock}(?: ?(?:Z|UTC|[+-]\d\d(?::?\d\d)?|(?:[A-Z]{3,5})(?= )))?`,
  String.raw`(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?${month} +\d{1,2}(?: \d{4})? ${clock}(?: \d{4}(?= |:))?(?: (?:[A-Z]{3,4})(?=:))?`,
  String.raw`\d{4} ${month} +\d{1,2} ${clock}(?: (?:[A-Z]{3,4})(?=:))?`,
  String.raw`\d{9,10}\.\d{3,9}`,
].join('|');
const older = new RegExp(String.raw`^(?<stamp>${stamp})(?<colon>:?)(?: +(?<rest>.*))?$`, 's');
const cisco = ciscoReader(stamp);
const selector = /^(?:<?([a-z]+\d?|\d{1,2})\.([a-z]+|[0-7])>?) (?=\S)/;
const repeated = /^(?:--- )?last message repeated \d+ times?/;

/** Behind the time of an application's log stands a severity or a bracket: such a line is no syslog, whatever its host would be. */
const noHost = /^ *(?:\[|- |(?:TRACE|DEBUG|INFO|WARN|WARNING|ERROR|FATAL|CRITICAL|SEVERE)\b)/;

interface Reading {
  severity: string | undefined;
  readonly attributes: Record<string, string | number>;
}

/** Makes the reader for a data date, given as days from 2000-01-01. */
export function syslogReader(format: SyslogFormat, dataDay: number): TextReader {
  const zone = format.zone ?? 'Z';
  const instant = instantReader({ east: zoneSeconds(zone), dataDay }, zone);
  return (line) => {
    // Framed by octet counting, as RFC 6587 sends it; a collector that writes what it got leaves the count in.
    const text = line.replace(/^\d{1,6} (?=<\d{1,3}>)/, '');
    const priority = /^<(\d{1,3})>/.exec(text);
    const rest = text.slice(priority?.[0].length ?? 0);
    const code = priority === null ? undefined : Number(priority[1]);
    const bad: Violation[] =
      code !== undefined && code > PRIORITY_MAX
        ? [{ field: 'severity', code: 'priority_invalid', message: `Priority ${code} is above ${PRIORITY_MAX}.` }]
        : [];
    const reading: Reading = {
      severity: code === undefined ? undefined : severities[code % 8],
      attributes: code === undefined ? {} : { facility: Math.floor(code / 8) },
    };
    const row =
      readModern(rest, reading) ?? readDevice(cisco(rest) ?? pairsHead(rest), reading) ?? readOlder(rest, reading);
    if (row === undefined)
      return [...bad, { field: 'line', code: 'line_shape', message: 'The line is neither RFC 3164 nor RFC 5424.' }];
    const parts = {
      ...row,
      severity: reading.severity ?? format.severityDefault,
      attributes: Object.keys(reading.attributes).length === 0 ? undefined : jsonbText(reading.attributes),
    };
    const checked = rowOrViolations(parts, format.severities);
    return bad.length === 0 ? checked : [...bad, ...('seconds' in checked ? [] : checked)];
  };

  function readModern(text: string, { attributes }: Reading) {
    const found = modern.exec(text);
    if (found === null) return undefined;
    const [, time, host, app, procid, msgid, data, message] = found;
    for (const [name, value] of Object.entries({ host, procid, msgid, structured: data }))
      if (value !== '-') attributes[name] = value!;
    return {
      time: instant(time === '-' ? '' : time!),
      module: app!,
      message: (message ?? '').replace(/^\ufeff/, ''),
    };
  }
  /** A line of a device, by the time that it states. */
  function readDevice(head: DeviceHead | undefined, reading: Reading) {
    if (head === undefined) return undefined;
    Object.assign(reading.attributes, head.attributes);
    return { time: instant(head.stamp ?? ''), ...tagged(head.rest, reading) };
  }
  /** A relay puts its own time and host before what the device sent; the time is the relay's then, all else the device's. */
  function relayed(text: string, reading: Reading) {
    const row = readDevice(cisco(text) ?? untimedHead(text), reading);
    return row && { module: row.module, message: row.message };
  }
  function readOlder(text: string, reading: Reading) {
    const found = older.exec(text)?.groups;
    if (found === undefined) return undefined;
    let rest = found['rest'] ?? '';
    if (noHost.test(rest)) return undefined;
    const time = instant(found['stamp']!);
    if (found['colon'] === '') rest = withoutHost(withoutSelector(rest, reading), reading);
    rest = withoutSelector(rest, reading);
    return { time, ...(relayed(rest, reading) ?? tagged(rest, reading)) };
  }
}

/** `auth.info`, as FreeBSD, OpenWrt and templates of rsyslog write it before or behind the host. */
function withoutSelector(text: string, reading: Reading): string {
  const found = selector.exec(text);
  const [, facility = '', level = ''] = found ?? [];
  const number = /^\d$/.test(level) ? Number(level) : severityNames.get(level);
  const place = /^\d+$/.test(facility) ? Number(facility) : facilities.indexOf(facility);
  if (found === null || number === undefined || place < 0) return text;
  reading.severity ??= severities[number];
  reading.attributes['facility'] ??= place;
  return text.slice(found[0].length);
}

/** Takes the host, where there is one: a tag or the word of a repetition in its place is none. */
function withoutHost(text: string, reading: Reading): string {
  if (repeated.test(text) || mnemonic.test(text)) return text;
  const [, host, rest = ''] = /^(\S+)(?: +(.*))?$/s.exec(text) ?? [];
  if (host === undefined) return text;
  // `sshd[12]:` and `kernel:` are tags; `fe80::1` and `10.0.0.1:514` are hosts.
  if (/(?:^[^\s[\]]+\[[^\]\s]*\]:?|[^:]:)$/.test(host)) {
    // syslog-ng and Cisco close a host with a colon, too: then a tag follows it.
    const closed = host.endsWith(':') && !host.includes('[') && mnemonic.test(rest.replace(/^: /, ''));
    if (!closed) return text;
    reading.attributes['host'] = host.slice(0, -1);
    return rest;
  }
  reading.attributes['host'] = host;
  return rest.replace(/^: (?=%)/, '');
}

/** Module, process and message of what follows the host. */
function tagged(text: string, reading: Reading): { module: string; message: string } {
  const device = mnemonic.exec(text)?.groups;
  if (device !== undefined) {
    reading.severity = severities[Number(device['level'])];
    return { module: device['tag']!, message: device['message']! };
  }
  const found = tagOf(text);
  // "last message repeated 3 times" has no tag, and is worth keeping all the same.
  if (found === undefined || repeated.test(text)) {
    const word = levelOfPairs(text);
    if (word !== undefined && severityNames.has(word)) reading.severity ??= severities[severityNames.get(word)!];
    return { module: '-', message: text };
  }
  const level = found.level === undefined ? undefined : severityNames.get(found.level.toLowerCase());
  if (level !== undefined) reading.severity ??= severities[level];
  if (found.pid !== undefined) reading.attributes['pid'] = found.pid;
  if (found.part !== undefined) reading.attributes['part'] = found.part;
  // Junos and IOS-XR write their process before it.
  const stated = mnemonic.exec(found.message)?.groups?.['level'];
  if (stated !== undefined) reading.severity = severities[Number(stated)];
  return { module: found.tag, message: found.message };
}
