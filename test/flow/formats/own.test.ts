// What lives here: line formats that a project declares: what is refused before anything starts, and what becomes of lines, hostile ones too.
// Invariant: all faults of all declarations are told at once; a line is a row with what it says, or has a violation.
// Apart from the formats of the package, which nobody can declare wrongly.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bytesOf } from '../../../src/flow/parse/bytes.ts';
import { finishedEnd } from '../../../src/connectors/file-end.ts';
import { accessFormat, type OwnFormat, type OwnOptions, pattern } from '../../../src/flow/formats/own.ts';
import { readFormats } from '../../../src/flow/formats/read-own.ts';
import { openLogReader } from '../../../src/flow/log-reader.ts';
import { faultsOfTime, timePatternReader } from '../../../src/flow/parse/time-pattern.ts';
import { outcome, readAll, type Row, rowsOf } from './read.ts';

const made = (own: OwnFormat) => readFormats({ x: own })['x']!;
const line = (own: OwnFormat, text: string) => outcome(made(own), text);
const at = (row: unknown): string => new Date(Number((row as Row).micros / 1000n)).toISOString();
const faultsOf = (own: Record<string, unknown>): string[] => {
  try {
    readFormats(own as Record<string, OwnFormat>);
    return [];
  } catch (error) {
    return (error as Error).message.split('\n').slice(1);
  }
};

describe('declarations', () => {
  test('are refused with all that is wrong with all of them', () => {
    const faults = faultsOf({
      plain: pattern({ pattern: '(?P<time>.)(?P<message>.)' }),
      Bad_1: pattern({ pattern: '(?P<time>x' }),
      none: pattern({ pattern: 'x', time: ['%Q', '%H'], zone: 'x', severities: { a: 'b' }, severity: 'z' }),
      look: pattern({ pattern: String.raw`(?<=x)(?P<time>.)(?P<message>.)` }),
      typo: { pattern: '(?P<time>.)(?P<message>.)', sevrities: {}, continued: true, module: '' },
      script: pattern({ pattern: /x/ as unknown as string }),
      five: 5,
      empty: {},
      q: accessFormat('%h %Q %r %W %t'),
      glued: accessFormat('%h%u %t %r'),
      mute: accessFormat('%t %h'),
      words: accessFormat('no directive'),
      late: accessFormat('%h %{%d/%b %K}t "%r"'),
      nginx: accessFormat('$remote_addr "$request" ${} $'),
    }).join('\n');
    for (const said of [
      `"plain": this name is one of Mendflow's own`,
      '"Bad_1": a name has to be lower-case words',
      '"Bad_1": RE2 cannot read its pattern: error parsing regexp: missing closing )',
      '"none": its time pattern "%Q": "%Q" is no part of a time',
      '"none": its time pattern "%H": it states no time of the day',
      '"none": its zone "x" is neither',
      '"none": it stores the severity "a" as "b"',
      '"none": its severity "z" is none of',
      '"none": it has no group (?P<time>…) and no group (?P<message>…)',
      '"look": RE2 cannot read its pattern',
      '"typo": there is no "sevrities" in a format',
      '"typo": its continued true is none of',
      '"typo": its module is to be',
      '"script": its pattern is to be a text',
      '"five": it is to be made by',
      '"empty": it is to be made by',
      '"q": its directive "%Q" is not known',
      '"q": its directive "%W" is not known',
      '"glued": nothing stands between "client" and "user"',
      '"mute": it has no request',
      '"words": it has no directive',
      '"late": its time "%d/%b %K": "%K" is no part',
      '"nginx": its directive "$" is not known',
      '"nginx": it states no time',
    ])
      expect(faults).toContain(said);
    expect(faultsOf([] as never)).toHaveLength(1);
  });
});

describe('a pattern', () => {
  const own = (more: OwnOptions = {}) =>
    pattern({ pattern: String.raw`(?P<time>[^|]*)\|(?P<severity>[^|]*)\|(?P<message>.*)`, ...more });
  test('knows the usual times and words by itself', () => {
    expect(line(own(), '1431857103250|warning|a')).toMatchObject({ severity: 'WARN', module: 'x', attributes: null });
    expect(at(line(own(), '17/May/2015:10:05:03 +0000|E|a'))).toBe('2015-05-17T10:05:03.000Z');
    expect(line(own(), '03/04/2026 10:00:00|E|a')).toEqual(['timestamp_ambiguous']);
  });
  test('takes a declared time for what it says, and no other', () => {
    const american = own({ time: ['%m/%d/%Y %I:%M:%S %p', '%s'] });
    expect(at(line(american, '03/04/2026 12:00:00 AM|E|a'))).toBe('2026-03-04T00:00:00.000Z');
    expect(at(line(american, '1431857103|E|a'))).toBe('2015-05-17T10:05:03.000Z');
    expect(line(american, '2026-03-04T10:00:00Z|E|a')).toEqual(['timestamp_invalid']);
    expect(line(american, '02/30/2026 10:00:00 AM|E|a')).toEqual(['timestamp_impossible']);
    expect(line(american, '|E|a')).toEqual(['timestamp_missing']);
  });
  test('maps severities as declared, and counts what it cannot map', () => {
    const mapped = own({ severities: { '0': 'ALERT', E: 'FATAL' } });
    const { rows, chunks } = readAll(
      made(mapped),
      ['0', 'E', 'info', 'LOUD', ''].map((word) => `2026-01-01T00:00:00Z|${word}|a`).join('\n'),
    );
    expect(rows.map(({ severity }) => severity)).toEqual(['ALERT', 'FATAL', 'INFO', 'LOUD', '-']);
    expect(chunks[0]!.notes).toEqual({ severity_unmapped: 1, severity_none: 1 });
    expect(line(own({ severity: 'NOTICE' }), '2026-01-01T00:00:00Z||a')).toMatchObject({ severity: 'NOTICE' });
    expect(line(own({ severities: { a: 'INFO' } }), '2026-01-01T00:00:00Z|toString|a')).toMatchObject({
      severity: 'toString',
    });
  });
  const text = [
    'before anything',
    '2026-01-01T00:00:00Z|I|one',
    'com.shop.Broken: x',
    '\tat a.b',
    'loose',
    '2026-01-01T00:00:01Z|I|two',
  ].join('\n');
  test.each([
    ['all', ['one\ncom.shop.Broken: x\n\tat a.b\nloose', 'two'], ['orphan']],
    ['trace', ['one\ncom.shop.Broken: x\n\tat a.b\nloose', 'two'], ['line_shape']],
    ['none', ['one', 'two'], ['line_shape', 'line_shape', 'line_shape', 'line_shape']],
  ] as const)('that says %s of lines that do not match', (continued, messages, codes) => {
    for (const feed of [[1], [7, 3], [1 << 20]]) {
      const { rows, rejects } = readAll(made(own({ continued })), text, { feed });
      expect(rows.map(({ message }) => message)).toEqual(messages);
      expect(rejects.flatMap(({ violations }) => violations.map(({ code }) => code))).toEqual(codes);
    }
  });
  test('does not hide a very long line in the record before it', () => {
    const long = `2026-01-01T00:00:00Z|I|${'x'.repeat(40_000)}`;
    const { rows, rejects } = readAll(
      made(own({ continued: 'all' })),
      `${long}\n${'y'.repeat(40_000)}\nshort\n${long}`,
    );
    expect(rows.map(({ message }) => message.length)).toEqual([40_000, 40_000]);
    expect(rejects).toHaveLength(1);
  });
  test('reads NUL, half characters and broken bytes as letters, whatever it matches', () => {
    const lines = [
      Buffer.from('2026-01-01T00:00:00Z|I|a\0b\n'),
      Buffer.from('2026-01-01T00:00:00Z|I|\xff\n', 'latin1'),
    ];
    const { rows, rejects } = readAll(made(own()), Buffer.concat(lines));
    expect(rows).toEqual([]);
    expect(rejects.map(({ violations }) => violations[0]!.code)).toEqual(['nul_byte', 'utf8_invalid']);
  });
  test('leaves a record that may still grow to a later run', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'own-'));
    const file = join(folder, 'a.log');
    writeFileSync(file, '2026-01-01T00:00:00Z|I|one\nmore\n2026-01-01T00:00:01Z|I|two\nmore\n');
    const handle = await open(file);
    const stat = () => Promise.resolve({ storedBytes: 65, modifiedMs: Date.now() });
    const opened = { codec: 'none', stat } as never;
    const options = { format: made(own({ continued: 'all' })), sealed: false, past: true };
    expect(await finishedEnd(opened, bytesOf(handle.fd, 'none'), options)).toMatchObject({ to: 32 });
    await handle.close();
    rmSync(folder, { recursive: true });
  });
  test('is the same in the thread of the parser', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'own-'));
    const file = join(folder, 'a.log');
    writeFileSync(file, '01.02.2026 10:00:00|I|one\nmore\n01.02.2026 10:00:01|I|two\n');
    const handle = await open(file);
    const format = made(own({ continued: 'all', time: '%d.%m.%Y %T', severities: { I: 'DEBUG' } }));
    const source = { fd: handle.fd, codec: 'none', close: () => handle.close() } as const;
    const reader = openLogReader(source, {
      format,
      sourceId: '1',
      dataDate: '2026-02-01',
      generation: 1,
      thread: 'always',
    });
    const rows: Row[] = [];
    for await (const chunk of reader.chunks([{ from: 0, to: 57 }], {
      recordsMax: 10,
      signal: new AbortController().signal,
    }))
      rows.push(...rowsOf(chunk));
    expect(reader.parsedIn).toBe('thread');
    expect(rows.map(({ message, severity }) => [message, severity])).toEqual([
      ['one\nmore', 'DEBUG'],
      ['two', 'DEBUG'],
    ]);
    await reader.close();
    rmSync(folder, { recursive: true });
  });
});

describe('a format string', () => {
  const clf = '[17/May/2015:10:05:03 +0000]';
  test.each([
    [
      '%h %l %u %t "%r" %>s %b',
      `::1 - bob smith ${clf} "GET / HTTP/1.1" 200 -`,
      'INFO',
      { client: '::1', user: 'bob smith' },
    ],
    [
      '%h %l %u %t \\"%r\\" %>s %b \\"%{Referer}i\\" \\"%{User-agent}i\\" %D',
      `a - - ${clf} "GET / x" 404 5 "-" "A \\"b\\"" 77`,
      'WARN',
      { agent: 'A \\"b\\"', duration_us: 77, bytes: 5 },
    ],
    [
      'LogFormat "%v:%p %a %t \\"%r\\" %s %O" vhost',
      `w.de:443 1.2.3.4 ${clf} "GET / x" 500 5`,
      'ERROR',
      { vhost: 'w.de', port: 443, bytes_out: 5 },
    ],
    [
      '%{X-Forwarded-For}i %t "%r" %s %{X-Trace}o %{id}C %{A}e %{n}n %I %{ms}T',
      `1.1.1.1, 2.2.2.2 ${clf} "GET / x" 200 t c e n 9 8`,
      'INFO',
      {
        forwarded_for: '1.1.1.1, 2.2.2.2',
        response_x_trace: 't',
        cookie_id: 'c',
        env_a: 'e',
        note_n: 'n',
        bytes_in: 9,
        duration_ms: 8,
      },
    ],
    [
      '%{%F %T}t.%{usec_frac}t %{%z}t %h "%m %U%q %H" %!200,304>s',
      '2015-05-17 12:05:03.000000 +0200 h "GET /a?b HTTP/2" 301',
      'INFO',
      { path: '/a', query: '?b', method: 'GET', protocol: 'HTTP/2' },
    ],
    ['%{sec}t %h "%r" %s 100%%', '1431857103 h "-" - 100%', 'WARN', { client: 'h' }],
    [
      '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer"',
      `1.2.3.4 - - ${clf} "GET / HTTP/1.1" 200 12 "-"`,
      'INFO',
      { referrer: '-', bytes: 12 },
    ],
    [
      `log_format main escape=default '$remote_addr [$time_local] "$request" '\n  '$status $request_time $upstream_response_time $ssl_protocol "$http_x_request_id"';`,
      `1.2.3.4 ${clf} "GET / x" 502 0.1 0.1, 0.2 : 0.3 - "r"`,
      'ERROR',
      { upstream_response_time: '0.1, 0.2 : 0.3', ssl_protocol: '-', http_x_request_id: 'r' },
    ],
    ['$msec|$remote_addr|$request|$status|${host}', '1431857103.000|1.2.3.4|GET / x|200|h', 'INFO', { vhost: 'h' }],
    [
      '{"t":"$time_iso8601","r":"$request","s":$status,"m":"$message"}',
      '{"t":"2015-05-17T10:05:03+00:00","r":"GET / x","s":301,"m":"M"}',
      'INFO',
      { message_: 'M', status: 301 },
    ],
    [
      '$time_iso8601 $request_method $scheme://$host$request_uri $status',
      '2015-05-17T10:05:03Z GET https://h/a?b 404',
      'WARN',
      { scheme: 'https', vhost: 'h', path: '/a?b' },
    ],
  ] as const)('%s', (access, text, severity, attributes) => {
    const row = line(accessFormat(access), text);
    expect(row).toMatchObject({ severity, module: 'access', attributes });
    expect(at(row)).toBe('2015-05-17T10:05:03.000Z');
  });
  test('is not talked into a status by what a stranger sends', () => {
    const own = accessFormat('%h %l %u %t "%r" %>s %b "%{Referer}i"');
    const row = line(own, `1.2.3.4 - - ${clf} "GET /\\" 200 5 \\"x HTTP/1.1" 500 7 "\\" 200"`);
    expect(row).toMatchObject({ severity: 'ERROR', attributes: { status: 500, bytes: 7 } });
    for (const bad of [
      `1.2.3.4 - - ${clf} "GET / HTTP/1.1" 200 5 "cut`,
      `1.2.3.4 - - ${clf} "GET /" 200 5 "x" 500 7 "-"`,
      `1.2.3.4 - - ${clf} "${'\\"'.repeat(20_000)}`,
    ])
      expect(line(own, bad)).toEqual(['line_shape']);
    expect(line(own, `1.2.3.4 - - [32/May/2015:10:05:03 +0000] "GET /" 200 5 "x"`)).toEqual(['timestamp_impossible']);
  });
  test('stores a status as somebody said', () => {
    const own = accessFormat('%h %t "%r" %s', { severities: { '404': 'DEBUG', '4': 'INFO' }, module: 'edge' });
    expect(line(own, `h ${clf} "GET / x" 404`)).toMatchObject({ severity: 'DEBUG', module: 'edge' });
    expect(line(own, `h ${clf} "GET / x" 403`)).toMatchObject({ severity: 'INFO' });
  });
});

describe('a time pattern', () => {
  const dataDay = 9830; // 2026-11-30
  test.each([
    ['%d.%m.%Y %H:%M:%S,%f', '21.11.2026 08:15:03,250', '2026-11-21T08:15:03.250Z'],
    ['%d/%m/%y %I:%M %p', '03/04/26 12:05 am', '2026-04-03T00:05:00.000Z'],
    ['%b %e %H:%M:%S', 'Dec 31 01:02:03', '2025-12-31T01:02:03.000Z'],
    ['%H:%M:%S.%L', '01:02:03.5', '2026-11-30T01:02:03.500Z'],
    ['%Y%m%d%H%M%S', '20260102030405', '2026-01-02T03:04:05.000Z'],
    ['%Y-%jT%R%z', '2024-366T10:11+0230', '2024-12-31T07:41:00.000Z'],
    ['%F %T %Z', '2026-01-01 00:00:00 CEST', '2025-12-31T22:00:00.000Z'],
    ['%c', 'Mon Nov  2 02:41:29 2026', '2026-11-02T02:41:29.000Z'],
    ['[%F %T] 100%%', '[2026-01-01 00:00:00] 100%', '2026-01-01T00:00:00.000Z'],
  ])('%s', (form, text, expected) => {
    const found = timePatternReader([form], { east: 0, dataDay })(text);
    expect(
      'seconds' in found && new Date((found.seconds + 946_684_800) * 1000 + found.micros / 1000).toISOString(),
    ).toBe(expected);
  });
  test.each([
    '',
    '%',
    '%Q',
    '%H',
    '%F',
    '%I:%M',
    '%H:%M %p',
    '%Y %H:%M',
    '%F %F %T',
    '%s %H:%M',
    '%d %R',
    '%y %Y %j %R',
  ])('"%s" is told when it is declared', (form) => expect(faultsOfTime(form)).not.toEqual([]));
});
