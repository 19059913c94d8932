// What lives here: a stage that makes one call.
// Invariant: through the upstream, as a user's stage would; it needs nothing of the test runner, so worker processes load it too.
// Apart because every test about upstreams has it.
import { type OpenUpstreams, stage } from '../../src/engine/worker.ts';

/** One GET of `/<id>`; any status but 2xx is thrown. */
export const asking = (upstreams: OpenUpstreams, key = 'http:api') => ({
  ask: async ({ id }: { id: string }): Promise<number> => {
    const upstream = upstreams.at(key);
    return await upstream.call(async (signal) => {
      const token = upstream.declared.headers?.['authorization'];
      const headers: Record<string, string> =
        token === undefined ? {} : { authorization: typeof token === 'string' ? token : upstreams.readSecret(token) };
      const answer = await fetch(`${upstream.declared.address}/${id}`, { signal, headers });
      await answer.text();
      if (!answer.ok) throw Object.assign(new Error('not ok'), { statusCode: answer.status });
      return answer.status;
    }, stage());
  },
});
