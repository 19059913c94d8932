// What is promised here: the line formats of examples/formats are chosen by their names on log-ingest, from the command line to the rows.
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadProject } from '../../src/connect.ts';
import { sealer } from '../flow/memory.ts';
import { type Client, commandLineOf } from '../support/client.ts';
import { type Engine, openEngine } from '../support/engine.ts';

const folder = join(import.meta.dirname, '..', '..', 'examples', 'formats');
let files: string;
let engine: Engine;
let line: Omit<Client, 'engine'>;

beforeAll(async () => {
  files = mkdtempSync(join(tmpdir(), 'own-formats-'));
  const { project } = await loadProject(folder);
  engine = await openEngine((_stage, upstreams) => project.serve({ pool: engine.pool, seal: sealer }, upstreams), {
    upstreams: project.upstreams!,
  });
  await engine.startWorker('./src/workflows/index.ts');
  line = commandLineOf(engine, folder);
});
afterAll(async () => {
  await engine?.close();
  rmSync(files, { recursive: true, force: true });
});

const load = async (format: string, name: string, lines: readonly string[], end = '\n') => {
  const path = join(files, name);
  writeFileSync(path, lines.join(end) + end);
  // Written long ago: the last record of a log that is still written may be continued, and waits for the next run.
  const before = Date.now() / 1_000 - 3_600;
  utimesSync(path, before, before);
  const set = ['--set', `path=${path}`, '--set', `format=${format}`];
  return await line.mendflow('start', 'log-ingest', '--date', '2026-11-21', ...set, '--wait');
};
const rows = (name: string) =>
  engine.rows<Record<string, unknown>>(
    `select to_char(ts at time zone 'UTC', 'DD HH24:MI:SS.MS') as ts, severity, module, message, attributes
     from log_entries join mendflow.source on source.id = source_id where convert_from(source.name, 'UTF8') like '%' || $1 order by "offset"`,
    [name],
  );

describe('a format of a project', () => {
  it('by a pattern is read with its times, severities and the lines that continue', async () => {
    const usual = Array.from({ length: 40 }, (_, n) => `21.11.2026 08:15:0${n % 10},000|I|cart|order ${n} is open`);
    const ran = await load(
      'shop',
      'shop.log',
      [
        '21.11.2026 08:15:03,250|W|cart|order 17 has no lines',
        '  at Cart.close',
        '',
        'Caused by: nothing',
        '21.11.2026 08:15:05,000|X|pay|gone|with|bars',
        '31.02.2026 08:15:06,000|E|pay|no such day',
        '21.11.2026 08:15:07,000|Q7|pay|order 9 is odd',
        ...usual,
      ],
      '\r\n',
    );
    expect(ran.code, ran.out + ran.err).toBe(0);
    expect(ran.out).toContain('1 records have a severity that is no known word or number; it is kept as it is written');
    const [first, second, third, ...more] = await rows('shop.log');
    expect(first).toEqual({
      ts: '21 07:15:03.250',
      severity: 'WARN',
      module: 'cart',
      message: 'has no lines\n  at Cart.close\r\n\r\nCaused by: nothing',
      attributes: { order: '17' },
    });
    expect(second).toMatchObject({ severity: 'FATAL', module: 'pay', message: 'gone|with|bars', attributes: null });
    expect(third).toMatchObject({ severity: 'Q7', message: 'is odd' });
    expect(more).toHaveLength(40);
    expect(await engine.rows('select count(*)::int as n from mendflow.dead_letter')).toEqual([{ n: 1 }]);
  });

  it('by the string of a server gives its extra fields as attributes', async () => {
    const ran = await load('edge', 'edge.log', [
      String.raw`198.51.100.7 [2026-11-21T08:15:03+01:00] "GET /a\x22b HTTP/1.1" 502 12 0.250 "10.0.0.1:80, 10.0.0.2:80"`,
    ]);
    expect(ran.code, ran.out + ran.err).toBe(0);
    expect(await rows('edge.log')).toEqual([
      {
        ts: '21 07:15:03.000',
        severity: 'ERROR',
        module: 'access',
        message: String.raw`GET /a\x22b HTTP/1.1`,
        attributes: {
          client: '198.51.100.7',
          method: 'GET',
          path: String.raw`/a\x22b`,
          protocol: 'HTTP/1.1',
          status: 502,
          bytes: 12,
          request_time: '0.250',
          upstream_addr: '10.0.0.1:80, 10.0.0.2:80',
        },
      },
    ]);
  });

  it('that the project does not have is refused with those it has', async () => {
    const ran = await load('shopp', 'other.log', ['x']);
    expect(ran.code).toBe(2);
    expect(ran.err).toContain('"shopp"');
    expect(ran.err).toContain('plain, plain-strict, log4j, apache, syslog, jsonl, shop or edge');
  });

  it('that a worker does not have any more is asked about, and nothing is read', async () => {
    const input = { path: join(files, 'edge.log'), format: 'gone', onRewrite: 'ask' };
    const handle = await engine.start('log-ingest', { dataDate: '2026-11-22', input });
    const { code } = await engine.parked('ingest[edge.log]');
    expect(code).toBe('config_invalid');
    await handle.terminate();
  });
});
