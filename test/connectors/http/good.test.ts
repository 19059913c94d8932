// What is promised here: an answer of success that its upstream does not declare as good is a failure with a name of its own.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type HttpAnswer, openHttp } from '../../../src/connectors/http/index.ts';
import { CodedError, type Failure } from '../../../src/model/failure.ts';
import { faultsOfUpstreams, type Good, upstreams } from '../../../src/model/upstream.ts';
import { openScene, type Scene } from '../../support/upstreams.ts';
import { answer, json, type ScriptServer, startScripts } from '../../support/http.ts';

const bodies: Readonly<Record<string, unknown>> = {
  good: { data: [1] },
  error: { error: { code: 17, message: 'canary-of-the-answer' } },
  slow: { error: { code: 429 } },
  later: { error: { code: 'later' } },
  later404: { error: { code: 404 } },
};
let server: ScriptServer;
let scene: Scene;
beforeAll(async () => {
  scene = await openScene();
  server = await startScripts(({ path }) =>
    path === '/none' ? [answer('', { status: '204 None' })] : [json(bodies[path.slice(1)])],
  );
});
afterAll(async () => {
  await scene?.close();
  await server?.close();
});

const judge: Good = (given) => {
  const { error } = given.json() as { error?: { code: unknown } };
  if (error === undefined) return true;
  if (error.code === 429) return 'http_429';
  if (error.code === 'later') return { code: 'http_503_retry_after', waitMs: 7_000 };
  return error.code === 404 ? 'http_404_not_yet' : false;
};
const schema = z.object({ data: z.array(z.number()) });

let keys = 0;
async function call(good: Good, path: string, method = 'GET'): Promise<HttpAnswer | Failure> {
  const key = `http:good-${++keys}`;
  const worker = await scene.worker('one', upstreams({ [key]: { address: server.address, good } }));
  const http = openHttp(worker.at(key), worker);
  try {
    return await (method === 'GET' ? http.get(path) : http.send(method, path, { body: {} }));
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return error.failure;
  } finally {
    await http.close();
    await scene.closeWorkers();
  }
}

describe('a declaration of what is good', () => {
  it.each([
    ['error', { code: 'answer_refused', class: 'transient', commit: 'unknown' }],
    ['slow', { code: 'http_429', class: 'throttled' }],
    ['later', { code: 'http_503_retry_after', class: 'delayed', nextDelayMs: 7_000 }],
    ['later404', { code: 'http_404_not_yet', class: 'delayed' }],
  ])('names %s', async (path, expected) => {
    for (const method of ['GET', 'POST']) {
      const failed = (await call(judge, `/${path}`, method)) as Failure;
      expect(failed).toMatchObject(expected);
      expect(failed.text).not.toContain('canary');
      expect(failed.text).toMatch(new RegExp(`answered 200 to ${method} /… with what its declaration`));
    }
  });

  it('may be a schema', async () => {
    expect(await call(schema, '/good')).toMatchObject({ status: 200 });
    expect(await call(schema, '/error')).toMatchObject({ code: 'answer_refused' });
  });

  it('lets good answers and those without content through', async () => {
    expect(await call(judge, '/good')).toMatchObject({ status: 200 });
    expect(await call(judge, '/none')).toMatchObject({ status: 204 });
  });

  it('that has a mistake of its own is a mistake of the code, and no fault of the upstream', async () => {
    const wrong: Good = (given) => (given.json() as { not: { there: boolean } }).not.there;
    expect(await call(wrong, '/good')).toMatchObject({ code: 'code_bug' });
  });

  it('may be mapped by the codes of the upstream', async () => {
    const key = 'http:mapped';
    const declared = upstreams({
      [key]: { address: server.address, good: judge, codes: { answer_refused: 'http_507' } },
    });
    expect(faultsOfUpstreams(declared)).toEqual([]);
    const worker = await scene.worker('one', declared);
    const http = openHttp(worker.at(key), worker);
    await expect(http.get('/error')).rejects.toMatchObject({ failure: { code: 'http_507' } });
    await http.close();
  });
});
