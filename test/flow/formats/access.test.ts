// What lives here: access and error logs of web servers and proxies in the layouts that they are packaged with.
// Invariant: lines follow the documented formats of nginx, Apache, ingress-nginx, Traefik, HAProxy, Envoy; the client is who asked.
// Apart from the combined line, which apache.test.ts has.
import { describe, expect, test } from 'vitest';
import { apache } from '../../../src/flow/formats/apache.ts';
import { outcome, readAll, type Row } from './read.ts';

const at = (row: Row): string => new Date(Number(row.micros / 1000n)).toISOString();
const start = '203.0.113.1 - - [21/Nov/2026:08:00:00 +0000] "GET /a HTTP/1.1" 200 13';
const usual = { client: '203.0.113.1', method: 'GET', path: '/a', status: 200, bytes: 13 };

describe('an access line', () => {
  test.each<[string, string, Record<string, unknown>]>([
    ['common', start, {}],
    ['nginx main', `${start} "-" "UA" "198.51.100.7, 10.0.0.1"`, { agent: 'UA', forwarded_for: '198.51.100.7, 10.0.0.1' }],
    ['combinedio', `${start} "-" "UA" 123 456`, { bytes_in: '123', bytes_out: '456' }],
    ['vhost_combined', `shop.example:443 ${start} "-" "UA"`, { vhost: 'shop.example:443', ident: '-', user: '-', agent: 'UA' }],
    ['vhost_common', `shop.example ${start}`, { vhost: 'shop.example' }],
    ['a virtual host and a user with spaces', `shop.example:80 ${start.replace('- - [', '- jane doe [')} "-" "UA"`, { vhost: 'shop.example:80', user: 'jane doe' }],
    ['a virtual host that is not named', `- ${start} "-" "UA"`, { vhost: '-' }],
    ['a virtual host by its address', `10.0.0.9:8080 ${start} "-" "UA"`, { vhost: '10.0.0.9:8080' }],
    ['ingress-nginx', `${start} "-" "UA" 502 0.001 [ns-svc-80] [] 10.0.0.1:80 13 0.002 200 04f1`, { request_length: '502', request_time: '0.001', upstream_name: 'ns-svc-80', upstream: '10.0.0.1:80', upstream_time: '0.002', upstream_status: '200', request_id: '04f1' }],
    ['ingress-nginx after a retry', `${start} "-" "UA" 502 0.001 [ns] [] 10.0.0.1:80, 10.0.0.2:80 0, 13 0.001, 0.002 502, 200 04f1`, { upstream: '10.0.0.1:80, 10.0.0.2:80', upstream_status: '502, 200', request_id: '04f1' }],
    ['ingress-nginx of old', `${start.replace('- - [', '- [198.51.100.7] - - [')} "-" "UA" 502 0.001 [ns] 10.0.0.1:80 13 0.002 200 04f1`, { forwarded_for: '198.51.100.7', user: '-', upstream: '10.0.0.1:80' }],
    ['Traefik', `${start} "-" "UA" 12 "web@docker" "http://10.0.0.1:80" 3ms`, { request_count: '12', router: 'web@docker', server: 'http://10.0.0.1:80', duration: '3ms' }],
    ['named times', `${start} "-" "UA" rt=0.001 urt="0.002"`, { rt: '0.001', urt: '0.002' }],
    ['a name that the line has already', `${start} "-" "UA" status=x`, { extra_status: 'x' }],
    ['one word more', `${start} "-" "UA" 0.123`, { extra: '0.123' }],
    ['more behind a forwarded address', `${start} "-" "UA" "198.51.100.7" 0.123 [x]`, { extra: '"198.51.100.7" 0.123 [x]' }],
    ['words behind the size', `${start} 0.123`, { extra: '0.123' }],
    ['a real ident', start.replace('1 - -', '1 bob -'), { ident: 'bob', user: '-' }],
    ['a time as ISO', start.replace('21/Nov/2026:08:00:00 +0000', '2026-11-21T09:00:00+01:00'), {}],
    ['a time with a fraction', start.replace(':00 +', ':00.000 +'), {}],
    ['Python’s server', start.replace('21/Nov/2026:08:00:00 +0000', '21/Nov/2026 08:00:00'), {}],
  ])('%s', (_, line, attributes) => {
    const row = outcome(apache, line) as Row;
    expect(row).toMatchObject({ severity: 'INFO', module: 'access', message: 'GET /a HTTP/1.1', attributes: { ...usual, ...attributes } });
    expect(at(row)).toBe('2026-11-21T08:00:00.000Z');
  }); // prettier-ignore
  test('of a client behind proxies has who asked first as its client', () =>
    expect(outcome(apache, start.replace('203.0.113.1 ', '198.51.100.7, 10.0.0.1, unknown '))).toMatchObject({
      attributes: { client: '198.51.100.7', forwarded_for: '198.51.100.7, 10.0.0.1, unknown', ident: '-' },
    }));
  test('keeps an address of IPv6, with a virtual host before it too', () => {
    for (const client of ['2001:db8::1', '::1', '::ffff:10.0.0.1'])
      for (const vhost of ['', 'shop.example:443 '])
        expect(outcome(apache, vhost + start.replace('203.0.113.1', client))).toMatchObject({ attributes: { client } });
  });
  test('with a quote that nobody protected in its request', () =>
    expect(outcome(apache, start.replace('/a HTTP', '/"a" HTTP'))).toMatchObject({ message: 'GET /"a" HTTP/1.1' }));
  test('that was never answered is worth a look', () =>
    expect(outcome(apache, start.replace(' 200 ', ' 000 '))).toMatchObject({
      severity: 'WARN',
      attributes: { bytes: 13 },
    }));
});

test('HAProxy’s line, by itself and behind a syslog head', () => {
  const line =
    '117.136.40.129:14853 [21/Nov/2026:08:00:00.127] https-in~ web/node_8002 170/0/0/3/173 503 739 - - --NN 0/0/0/0/0 0/0 {a|b} "GET /a HTTP/1.1"';
  for (const text of [line, `Nov 21 08:00:00 lb haproxy[12]: ${line}`])
    expect(outcome(apache, text)).toMatchObject({
      severity: 'ERROR',
      message: 'GET /a HTTP/1.1',
      attributes: {
        client: '117.136.40.129',
        port: 14_853,
        backend: 'web/node_8002',
        status: 503,
        bytes: 739,
        timers: '170/0/0/3/173',
      },
    });
});
test('Envoy’s line, and what a mesh adds to it', () => {
  const line =
    '[2026-11-21T08:00:00.123Z] "GET /a HTTP/1.1" 200 - 0 1234 12 10 "203.0.113.9, 10.0.0.1" "curl/8" "id" "host" "10.0.0.1:80"';
  const expected = { client: '203.0.113.9', status: 200, bytes: 1234, authority: 'host', upstream: '10.0.0.1:80' };
  expect(outcome(apache, line)).toMatchObject({ message: 'GET /a HTTP/1.1', attributes: expected });
  const mesh = line.replace('200 - 0', '200 - via_upstream - "-" 0');
  expect(outcome(apache, `${mesh} outbound|80||x 10.0.0.2:1 - default`)).toMatchObject({
    attributes: { ...expected, extra: 'outbound|80||x 10.0.0.2:1 - default' },
  });
});
const at8 = '117.136.40.129:14853 [21/Nov/2026:08:00:00.000]';
const aws = '2026-11-21T08:00:00.000000Z app/lb/50 203.0.113.9:2817';
const request = '"GET https://h:443/a HTTP/2.0" "UA" ECDHE TLSv1.2';
test.each<[string, string, Partial<Row>]>([
  ['HAProxy over HTTPS', `lb haproxy[1]: ${at8} fe~ be/s 1/0/3/6/1 503 27 - - SC-- 1/1/1/1/0 0/0 {h} {} "GET /a HTTP/1.1" 0/0/0/0/0 shop.example/TLSv1.3/TLS_AES_256_GCM_SHA384`, { severity: 'ERROR', message: 'GET /a HTTP/1.1', attributes: { path: '/a', tls_errors: '0/0/0/0/0', sni: 'shop.example', tls_version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' } }],
  ['HAProxy with more behind the request', `${at8} fe be/s 1/0/3/6/1 200 27 - - ---- 1/1/1/1/0 0/0 "GET /a HTTP/1.1" a b`, { severity: 'INFO', message: 'GET /a HTTP/1.1', attributes: { extra: 'a b' } }],
  ['HAProxy, cut in the request', `${at8} fe be/s 1/0/3/6/1 200 27 - - ---- 1/1/1/1/0 0/0 "GET /a`, { message: 'GET /a' }],
  ['HAProxy over TCP', `Nov 21 08:00:00 lb haproxy[1]: ${at8} fnt bck/srv1 0/0/5007 212 -- 0/0/0/0/3 0/0`, { severity: 'INFO', message: 'fnt bck/srv1 0/0/5007 212 -- 0/0/0/0/3 0/0', attributes: { client: '117.136.40.129', port: 14_853, backend: 'bck/srv1', bytes: 212, termination: '--' } }],
  ['HAProxy over TCP, the server away', `${at8} fnt bck/<NOSRV> 0/-1/5007 +0 SC 0/0/0/0/3 0/0`, { severity: 'WARN', attributes: { backend: 'bck/<NOSRV>', termination: 'SC' } }],
  ['HAProxy, an error, without a host', `haproxy[1]: ${at8} frt/f1: Connection error during SSL handshake`, { severity: 'WARN', message: 'Connection error during SSL handshake', attributes: { client: '117.136.40.129', frontend: 'frt', bind: 'f1' } }],
  ['Istio, with why it failed', '[2026-11-21T08:00:00.000Z] "GET /a HTTP/1.1" 503 UF upstream_reset_before_response_started{connection_failure} - "delayed connect error: 111" 0 135 3 - "-" "UA" "id" "h:8000" "10.0.0.9:80" inbound|8000|| 127.0.0.1:4185 10.44.1.27:80 203.0.113.9:37652 out.h default', { severity: 'ERROR', attributes: { client: '203.0.113.9', response_flags: 'UF', response_details: 'upstream_reset_before_response_started{connection_failure}', upstream_failure: 'delayed connect error: 111', downstream_remote: '203.0.113.9:37652', route: 'default' } }],
  ['AWS’ application load balancer', `h2 ${aws} 10.0.0.66:9000 0.000 0.002 0.000 502 - 5 257 ${request} arn:aws:x "Root=1-58" "h" "-" 1 2026-11-21T07:59:59.000000Z "forward" "-" "-" "10.0.0.66:9000" "-" "-" "-" TID_1`, { severity: 'ERROR', message: 'GET https://h:443/a HTTP/2.0', attributes: { client: '203.0.113.9', status: 502, bytes: 257, target: '10.0.0.66:9000', agent: 'UA', trace_id: 'Root=1-58', connection_id: 'TID_1', path: 'https://h:443/a' } }],
  ['AWS’ classic load balancer', `${aws} 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 29 ${request}`, { severity: 'INFO', attributes: { client: '203.0.113.9', status: 200, bytes: 29 } }],
  ['AWS’ classic load balancer over TCP', `${aws} 10.0.0.1:80 0.001069 0.000028 0.000041 - - 82 305 "- - - " "-" - -`, { severity: 'INFO', attributes: { client: '203.0.113.9', bytes: 305 } }],
  ['AWS, no target', `https ${aws} - -1 -1 -1 503 - 0 257 ${request} - "-" "h" "-" - 2026-11-21T08:00:00.000000Z "-" "-" "-" "-" "-" "-" "-"`, { severity: 'ERROR', attributes: { client: '203.0.113.9', target: '-', target_time: '-1' } }],
  ['Squid', '1795248000.000    180 203.0.113.9 TCP_MISS/200 411 GET http://h/a - HIER_DIRECT/198.51.100.4 text/plain', { severity: 'INFO', message: 'GET http://h/a', attributes: { client: '203.0.113.9', status: 200, bytes: 411, cache: 'TCP_MISS', upstream: '198.51.100.4', duration_ms: 180 } }],
  ['Squid, given up', '1795248000.000      0 203.0.113.9 NONE_NONE/000 0 CONNECT error:x jane HIER_NONE/- -', { severity: 'WARN', attributes: { user: 'jane', bytes: 0 } }],
])('%s', (_, line, expected) => {
  const row = outcome(apache, line) as Row;
  expect(row).toMatchObject(expected);
  expect(at(row)).toBe('2026-11-21T08:00:00.000Z');
}); // prettier-ignore

test.each<[string, Partial<Row>]>([
  ['[Sat Nov 21 08:00:00.123456 2026] [core:error] [pid 12:tid 34] [client 1.2.3.4:5] AH00126: m', { severity: 'ERROR', module: 'core', message: 'AH00126: m', attributes: { pid: '12:tid 34', client: '1.2.3.4:5' } }],
  ['[Sat Nov 21 08:00:00.123456 2026] [mpm_event:notice] [pid 12:tid 34] m', { severity: 'NOTICE', module: 'mpm_event', message: 'm' }],
  ['[Sat Nov 21 08:00:00.123456 2026] [ssl:trace3] [pid 12] m', { severity: 'TRACE', module: 'ssl' }],
  ['[Sat Nov 21 08:00:00 2026] [warn] m', { severity: 'WARN', module: 'error', message: 'm' }],
  ['2026/11/21 08:00:00 [crit] 12#13: *7 m, client: 1.2.3.4, server: _', { severity: 'CRITICAL', message: 'm, client: 1.2.3.4, server: _', attributes: { pid: '12', connection: '7', client: '1.2.3.4' } }],
  ['2026/11/21 08:00:00 [error] 7#7: *1 FastCGI sent in stderr: "x, client: 6.6.6.6, server: y" while reading, client: 203.0.113.9, server: _, request: "GET /, client: 6.6.6.6"', { attributes: { client: '203.0.113.9', pid: '7', connection: '1' } }],
  ['2026/11/21 08:00:00 [error] 7#7: *1 open() "/x" failed (2: No such file), client: 2001:db8::9, server: _', { attributes: { client: '2001:db8::9', pid: '7', connection: '1' } }],
  ['2026/11/21 08:00:00 [emerg] 12#12: m', { severity: 'EMERGENCY', message: 'm', attributes: { pid: '12' } }],
])('an error log’s line: %s', (line, expected) => expect(outcome(apache, line)).toMatchObject(expected)); // prettier-ignore

test('what such a line says wrong is a violation all the same', () => {
  expect(outcome(apache, `shop.example:443 ${start.replace('21/Nov', '31/Nov')} "-" "UA"`)).toEqual([
    'timestamp_impossible',
  ]);
  expect(outcome(apache, start.replace(' 200 ', ' 999 '))).toContain('status_invalid');
});
test('a line that is long and full of brackets costs no more than its length', () => {
  const before = performance.now();
  const { rejects } = readAll(apache, '[aaaaaaaa] "'.repeat(80_000));
  expect(rejects).toHaveLength(1);
  expect(performance.now() - before).toBeLessThan(20_000);
});
