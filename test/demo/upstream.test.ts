// What is promised here: the demo upstream serves real quakes in the shape of the public service, and breaks exactly as its script says.
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { type Fault, playScript, retryAfterText, type Rule } from '../../demo/upstream/faults.ts';
import { peakPerSecond } from '../../demo/upstream/log.ts';
import { type DemoUpstream, type DemoUpstreamOptions, startDemoUpstream } from '../../demo/upstream/upstream.ts';

const upstreams: DemoUpstream[] = [];
const start = async (options: DemoUpstreamOptions = {}): Promise<DemoUpstream> => {
  const upstream = await startDemoUpstream(options);
  upstreams.push(upstream);
  return upstream;
};
afterEach(() => Promise.all(upstreams.splice(0).map((one) => one.stop())));

const query = (more = ''): string =>
  `/fdsnws/event/1/query?format=geojson&starttime=2018-02-01&endtime=2018-02-02&orderby=time-asc${more}`;

/** What really came over the socket, without a client that repairs or judges it. */
interface Got {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** How it ended: `end`, or the code of the error. */
  readonly ended: string;
}
const get = (at: string, path: string, headers: Record<string, string> = {}, patienceMs = 20_000): Promise<Got> =>
  new Promise((resolve) => {
    let got: Omit<Got, 'body' | 'ended'> = { status: 0, headers: {} };
    const parts: Buffer[] = [];
    const done = (ended: string): void => resolve({ ...got, body: Buffer.concat(parts), ended });
    const failed = (error: NodeJS.ErrnoException): void => done(error.code ?? error.message);
    const request = httpRequest(new URL(path, at), { headers: { connection: 'close', ...headers } }, (response) => {
      got = { status: response.statusCode!, headers: response.headers };
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => done('end'));
      response.on('error', failed);
    });
    request.setTimeout(patienceMs, () => request.destroy(Object.assign(new Error('patience'), { code: 'PATIENCE' })));
    request.on('error', failed);
    request.end();
  });
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- every caller names another shape
const jsonOf = <T>({ body }: Got): T => JSON.parse(body.toString()) as T;
interface Page {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly features: readonly { id: string; properties: Record<string, unknown> & { time: number } }[];
}

const broken = async (fault: Fault, patienceMs?: number): Promise<Got> => {
  const { address } = await start({ script: [{ on: 'any', fault }] });
  return await get(address, query(), {}, patienceMs);
};

describe('the quakes', () => {
  it('are all 1,707 of the week, in pages that fit together in either order', async () => {
    const { address } = await start();
    const all = '?format=geojson&starttime=2018-01-01&endtime=2018-03-01';
    expect(jsonOf(await get(address, `/fdsnws/event/1/count${all}`))).toEqual({ count: 1707, maxAllowed: 20_000 });
    const walk = async (order: string): Promise<string[]> => {
      const ids: string[] = [];
      for (let offset = 1; ; offset += 500) {
        const page = jsonOf<Page>(
          await get(address, `/fdsnws/event/1/query${all}&orderby=${order}&limit=500&offset=${offset}`),
        );
        expect(page.metadata).toMatchObject({ status: 200, limit: 500, offset, count: page.features.length });
        ids.push(...page.features.map(({ id }) => id));
        if (page.features.length < 500) return ids;
      }
    };
    const ascending = await walk('time-asc');
    expect(new Set(ascending).size).toBe(1707);
    expect(await walk('time')).toEqual(ascending.toReversed());
  });

  it('are cut by time and magnitude, both ends included', async () => {
    const { address } = await start();
    const day = jsonOf<Page>(await get(address, query())).features;
    expect(day.length).toBeGreaterThan(100);
    const [first, last] = [day[0]!.properties.time, day.at(-1)!.properties.time];
    expect(first).toBeGreaterThanOrEqual(Date.parse('2018-02-01'));
    expect(last).toBeLessThanOrEqual(Date.parse('2018-02-02'));
    const edge = new Date(last).toISOString();
    const at = jsonOf<Page>(
      await get(address, `/fdsnws/event/1/query?starttime=${edge}&endtime=${edge.replace('Z', '')}`),
    );
    expect(at.features.map(({ id }) => id)).toContain(day.at(-1)!.id);
    const strong = jsonOf<Page>(await get(address, query('&minmagnitude=4'))).features;
    expect(strong.length).toBeGreaterThan(0);
    expect(strong.length).toBe(day.filter(({ properties }) => Number(properties['mag']) >= 4).length);
  });

  it('are not given to a question that is wrong', async () => {
    const { address } = await start();
    for (const more of ['&limit=0', '&limit=20001', '&offset=0', '&limit=x', '&minmagnitude=big', '&colour=red'])
      expect((await get(address, query(more))).status, more).toBe(400);
    expect((await get(address, '/fdsnws/event/1/query?starttime=yesterday')).status).toBe(400);
    expect((await get(address, '/elsewhere')).status).toBe(404);
    expect(jsonOf(await get(address, '/health'))).toEqual({ status: 'ok' });
  });

  it('come packed to whoever takes it', async () => {
    const { address } = await start();
    const packed = await get(address, query(), { 'accept-encoding': 'gzip' });
    expect(packed.headers['content-encoding']).toBe('gzip');
    expect(JSON.parse(gunzipSync(packed.body).toString())).toMatchObject({ type: 'FeatureCollection' });
  });
});

describe('a fault', () => {
  it('is any status, with every form of Retry-After and X-RateLimit-Reset', async () => {
    const now = Date.parse('2026-11-06T08:49:37.200Z');
    expect(retryAfterText({ seconds: 7 }, now)).toBe('7');
    // The example dates of the HTTP standard have these three shapes; rounded up to a second, never down.
    expect(retryAfterText({ inMs: 1_000, as: 'imf-fixdate' }, now)).toBe('Fri, 06 Nov 2026 08:49:39 GMT');
    expect(retryAfterText({ inMs: 1_000, as: 'rfc850' }, now)).toBe('Friday, 06-Nov-26 08:49:39 GMT');
    expect(retryAfterText({ inMs: 1_000, as: 'asctime' }, now)).toBe('Fri Nov  6 08:49:39 2026');
    const got = await broken({
      kind: 'status',
      status: 503,
      retryAfter: { raw: 'next tuesday' },
      rateLimitReset: { inMs: 60_000, as: 'epoch-s' },
    });
    expect(got).toMatchObject({ status: 503, ended: 'end' });
    expect(got.headers['retry-after']).toBe('next tuesday');
    expect(Number(got.headers['x-ratelimit-reset']) - Date.now() / 1_000).toBeGreaterThan(50);
    for (const status of [204, 301, 400, 418, 500, 501, 507, 599])
      expect((await broken({ kind: 'status', status })).status).toBe(status);
  });

  it('is silence, before the headers or after them', async () => {
    expect((await broken({ kind: 'hang', at: 'before-headers' }, 300)).ended).toBe('PATIENCE');
    const after = await broken({ kind: 'hang', at: 'after-headers' }, 300);
    expect(after).toMatchObject({ status: 200, ended: 'PATIENCE' });
    expect(after.body.length).toBe(0);
  });

  it('is a body of single bytes, or an answer that is late', async () => {
    const { address } = await start({ script: [{ on: 'any', fault: { kind: 'slow-body', everyMs: 20 } }] });
    const slow = await get(address, '/health');
    expect(jsonOf(slow)).toEqual({ status: 'ok' });
    expect((await broken({ kind: 'late', afterMs: 200 })).status).toBe(200);
  });

  it('is an end in the middle, by each framing', async () => {
    for (const framing of ['content-length', 'chunked'] as const) {
      const cut = await broken({ kind: 'truncated', framing });
      expect(cut).toMatchObject({ status: 200, ended: 'ECONNRESET' });
      expect(cut.body.length).toBeGreaterThan(1_000);
      expect(cut.headers[framing === 'chunked' ? 'transfer-encoding' : 'content-length']).toBeDefined();
    }
    const packed = await broken({ kind: 'truncated', framing: 'gzip' });
    expect(packed).toMatchObject({ status: 200, ended: 'end' });
    expect(Number(packed.headers['content-length'])).toBe(packed.body.length);
    expect(() => gunzipSync(packed.body)).toThrow(/unexpected end/);
  });

  it('is a connection that is reset', async () => {
    expect(await broken({ kind: 'reset', at: 'before-headers' })).toMatchObject({ status: 0, ended: 'ECONNRESET' });
    const inBody = await broken({ kind: 'reset', at: 'in-body' });
    expect(inBody).toMatchObject({ status: 200, ended: 'ECONNRESET' });
    expect(inBody.body.length).toBeGreaterThan(0);
  });

  it('is a 200 that is not what was asked for', async () => {
    const bad = await broken({ kind: 'bad-json' });
    expect(bad).toMatchObject({ status: 200, ended: 'end' });
    expect(() => jsonOf(bad)).toThrow(SyntaxError);
    const page = await broken({ kind: 'html' });
    expect(page.headers['content-type']).toMatch(/^text\/html/);
    const renamed = jsonOf<Page>(await broken({ kind: 'renamed', field: 'mag', to: 'magnitude' }));
    expect(renamed.features[0]!.properties).toHaveProperty('magnitude');
    expect(renamed.features[0]!.properties).not.toHaveProperty('mag');
  });

  it('is pages that go in a circle, overlap or leave records out', async () => {
    const { address, script } = await start();
    const ids = async (offset: number): Promise<string[]> =>
      jsonOf<Page>(await get(address, query(`&limit=10&offset=${offset}`))).features.map(({ id }) => id);
    const [first, second] = [await ids(1), await ids(11)];
    script([{ on: 'query', fault: { kind: 'page-loop' } }]);
    expect(await ids(11)).toEqual(first);
    script([{ on: 'query', fault: { kind: 'page-overlap', by: 3 } }]);
    expect(await ids(11)).toEqual([...first.slice(-3), ...second.slice(0, 7)]);
    script([{ on: 'query', fault: { kind: 'page-missing', by: 2 } }]);
    expect(await ids(11)).toEqual(second.slice(0, 8));
  });

  it('is a credential that is not accepted any more', async () => {
    const upstream = await start({ token: 'first' });
    const as = async (token: string): Promise<number> =>
      (await get(upstream.address, '/health', { authorization: `Bearer ${token}` })).status;
    expect([await as('first'), await as('other')]).toEqual([200, 401]);
    upstream.rotate('second');
    expect([await as('first'), await as('second')]).toEqual([401, 200]);
    expect((await get(upstream.address, '/health')).status).toBe(401);
    expect(JSON.stringify(upstream.log())).not.toMatch(/first|second|other/);
    expect(new Set(upstream.log().map(({ token }) => token)).size).toBe(4);
  });

  it('is too many calls a second', async () => {
    const { address, log } = await start({ callsPerSecond: 5 });
    const answers = await Promise.all(Array.from({ length: 12 }, () => get(address, '/health')));
    const refused = answers.filter(({ status }) => status === 429);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(5);
    expect(refused[0]!.headers['retry-after']).toBe('1');
    expect(log().filter(({ fault }) => fault === 'rate')).toHaveLength(refused.length);
    expect(peakPerSecond(log())).toBe(12);
  });

  it('is an outage: refused, and back on the same port', async () => {
    const { address, change } = await start();
    await change({ refused: true });
    expect((await get(address, '/health')).ended).toBe('ECONNREFUSED');
    await Promise.all([change({ refused: false }), change({ refused: true }), change({ refused: false })]);
    expect((await get(address, '/health')).status).toBe(200);
  });
});

describe('a script', () => {
  const met = (rules: readonly Rule[], calls: number, seed = 1): string => {
    const play = playScript(rules, seed);
    return Array.from({ length: calls }, () => (play('query') === undefined ? '.' : 'x')).join('');
  };
  const fault: Fault = { kind: 'status', status: 500 };

  it('counts requests from 1, each rule those it is on', async () => {
    expect(met([{ on: 'query', from: 3, count: 2, fault }], 6)).toBe('..xx..');
    expect(met([{ on: 'count', fault }], 3)).toBe('...');
    expect(met([{ on: 'any', from: 2, fault }], 4)).toBe('.xxx');
    const { address, script, log } = await start({ script: [{ on: 'query', count: 1, fault }] });
    await get(address, '/health');
    expect((await get(address, query())).status).toBe(500);
    expect((await get(address, query())).status).toBe(200);
    script([{ on: 'query', count: 1, fault }]);
    expect((await get(address, query())).status).toBe(500);
    expect(log().map(({ no, route, status, fault: why }) => [no, route, status, why])).toEqual([
      [1, 'health', 200, undefined],
      [2, 'query', 500, 'status'],
      [3, 'query', 200, undefined],
      [4, 'query', 500, 'status'],
    ]);
  });

  it('rolls the same dice for the same seed', () => {
    const rules: Rule[] = [{ on: 'query', share: 0.2, fault }];
    const a = met(rules, 500, 7);
    expect(met(rules, 500, 7)).toBe(a);
    expect(met(rules, 500, 8)).not.toBe(a);
    expect(a.split('x').length - 1).toBeGreaterThan(60);
    expect(a.split('x').length - 1).toBeLessThan(140);
    expect(met([{ on: 'query', from: 1, count: 1, fault }, ...rules], 500, 7).slice(1)).toBe(a.slice(1));
  });

  it('ends after its time', async () => {
    const { address } = await start({ script: [{ on: 'any', forMs: 150, fault }] });
    expect((await get(address, '/health')).status).toBe(500);
    await expect.poll(async () => (await get(address, '/health')).status).toBe(200);
  });
});

describe('the control', () => {
  const post = (control: string, body: string): Promise<Response> =>
    fetch(`${control}/control`, { method: 'POST', body });

  it('does from another process what the functions do, and is no call of the log', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'mendflow-demo-'));
    const logFile = join(dir, 'log.jsonl');
    const { address, control } = await start({ logFile });
    const status = async (): Promise<number> => (await get(address, '/health')).status;
    await post(control, JSON.stringify({ script: [{ on: 'any', count: 1, fault: { kind: 'status', status: 502 } }] }));
    expect([await status(), await status()]).toEqual([502, 200]);
    await post(control, JSON.stringify({ token: 'new' }));
    expect(await status()).toBe(401);
    await post(control, JSON.stringify({ token: null, callsPerSecond: null, refused: true }));
    expect(await status()).toBe(0);
    await post(control, JSON.stringify({ refused: false }));
    expect(await status()).toBe(200);
    const lines = (await (await fetch(`${control}/control/log`)).json()) as { status: number }[];
    expect(lines.map((line) => line.status)).toEqual([502, 200, 401, 200]);
    const written = readFileSync(logFile, 'utf8').trim().split('\n');
    expect(written.map((line) => JSON.parse(line) as unknown)).toEqual(lines);
    rmSync(dir, { recursive: true });
  });

  it.each(['', '[]', '{"port":1}', '"x"'])('refuses %j and says why', async (body) => {
    const { control } = await start();
    const answer = await post(control, body);
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as { error: string }).error).not.toBe('');
  });
});

it('leaves no socket behind when it stops', async () => {
  const { address, stop } = await startDemoUpstream({
    script: [{ on: 'any', fault: { kind: 'hang', at: 'before-headers' } }],
  });
  const socket = connect(Number(new URL(address).port), '127.0.0.1');
  socket.write('GET /health HTTP/1.1\r\nhost: x\r\n\r\n');
  const closed = new Promise((resolve) => socket.once('close', resolve).once('error', () => undefined));
  await new Promise((resolve) => setTimeout(resolve, 50));
  await stop();
  await closed;
});
