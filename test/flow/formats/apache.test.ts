// What lives here: what becomes of lines of an access log.
// Invariant: attributes are written as Postgres itself would write them.
// Apart because only this format has attributes made from bytes.
import { describe, expect, test } from 'vitest';
import { apache } from '../../../src/flow/formats/apache.ts';
import { outcome, type Row } from './read.ts';

const line = (
  parts: Partial<
    Record<'client' | 'user' | 'time' | 'request' | 'status' | 'bytes' | 'referrer' | 'agent', string>
  > = {},
): string =>
  `${parts.client ?? '10.0.0.1'} - ${parts.user ?? '-'} [${parts.time ?? '17/May/2015:10:05:03 +0000'}] "${parts.request ?? 'GET /a HTTP/1.1'}" ` +
  `${parts.status ?? '200'} ${parts.bytes ?? '203023'} "${parts.referrer ?? '-'}" "${parts.agent ?? 'curl/8'}"`;

test('a line becomes a row with attributes in jsonb’s own order', () => {
  const row = outcome(apache, line({ time: '17/May/2015:10:05:03 +0200', user: 'jane doe' })) as Row;
  expect(row).toMatchObject({
    severity: 'INFO',
    module: 'access',
    message: 'GET /a HTTP/1.1',
    micros: 1431849903000000n,
  });
  expect(row.attributesText).toBe(
    '{"path": "/a", "user": "jane doe", "agent": "curl/8", "bytes": 203023, "ident": "-", "client": "10.0.0.1", "method": "GET", "status": 200, "protocol": "HTTP/1.1", "referrer": "-"}',
  );
});

test.each([
  ['101', 'INFO'],
  ['200', 'INFO'],
  ['304', 'INFO'],
  ['404', 'WARN'],
  ['503', 'ERROR'],
])('status %s is %s', (status, severity) => expect(outcome(apache, line({ status }))).toMatchObject({ severity }));

test('no size is no attribute', () =>
  expect((outcome(apache, line({ bytes: '-' })) as Row).attributes).not.toHaveProperty('bytes'));

test('a protected quote, a control character and text beyond ASCII are kept as they are written', () =>
  expect((outcome(apache, line({ agent: 'a \\"b\\" \u0001\t東京\\\\' })) as Row).attributes).toHaveProperty(
    'agent',
    'a \\"b\\" \u0001\t東京\\\\',
  ));

test.each(['-', '\\x16\\x03\\x01', 'GET /a', 'GET /a b HTTP/1.1', 'GET  HTTP/1.1', ''])(
  'a request that is none (%s) is a message all the same',
  (request) => {
    const row = outcome(apache, line({ request, status: '400' })) as Row;
    expect(row).toMatchObject({ message: request, severity: 'WARN' });
    expect(row.attributes).not.toHaveProperty('method');
  },
);

describe('violations', () => {
  test.each([
    ['the agent’s quote never closes', line().slice(0, -1), ['agent_unclosed']],
    ['an impossible date', line({ time: '30/Feb/2015:10:05:03 +0000' }), ['timestamp_impossible']],
    ['no such month', line({ time: '17/Mai/2015:10:05:03 +0000' }), ['timestamp_invalid']],
    ['a date that may be two', line({ time: '03/04/2015 10:05:03' }), ['timestamp_ambiguous']],
    ['no date', line({ time: 'yesterday at ten' }), ['timestamp_invalid']],
    [
      'date, status and size',
      line({ time: '30/Feb/2015:10:05:03 +0000', status: '999', bytes: '12x' }),
      ['timestamp_impossible', 'status_invalid', 'bytes_invalid'],
    ],
    ['a status of one digit', line({ status: '7' }), ['status_invalid']],
    ['a negative size', line({ bytes: '-5' }), ['bytes_invalid']],
    ['a size beyond all numbers', line({ bytes: '9'.repeat(30) }), ['bytes_invalid']],
    ['a referrer without an agent', line().split(' "curl')[0]!, ['line_shape', 'agent_missing']],
    ['a quote that opens behind the end', `${line()} "0.003`, ['line_trailing']],
    [
      'another format',
      '2026-11-21T08:00:00Z INFO [api] ready',
      [
        'user_unclosed',
        'timestamp_missing',
        'request_missing',
        'status_missing',
        'bytes_missing',
        'referrer_missing',
        'agent_missing',
      ],
    ],
  ])('%s', (_, text, codes) => expect(outcome(apache, text)).toEqual(codes));
});
