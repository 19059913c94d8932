// What lives here: the declared probe of an upstream: one cheap GET.
// Invariant: it goes through the breaker like every call, so it is one leased trial, and the breaker alone judges it.
// Apart from recovery because it calls the world, and on a queue of the upstream's own.
import { Context, log } from '@temporalio/activity';
import { CodedError } from '../../model/failure.ts';
import type { OpenUpstreams } from '../../connectors/upstream.ts';
import type { Recovering } from '../workflow/recovery.ts';

export function probeIn(upstreams: OpenUpstreams): Recovering['probe'] {
  return async ({ upstream }) => {
    const one = upstreams.at(upstream);
    const { address, headers = {}, probe } = one.declared;
    if (probe === undefined) return;
    try {
      await one.call(
        async (signal) => {
          const sent = Object.entries(headers).map(([name, value]): [string, string] => [
            name,
            typeof value === 'string' ? value : upstreams.readSecret(value),
          ]);
          // A redirect is an answer; followed, it could carry the credential elsewhere.
          const answer = await fetch(new URL(probe, address), { signal, headers: sent, redirect: 'manual' });
          await answer.arrayBuffer();
          if (answer.status >= 400) throw Object.assign(new Error('probe'), { statusCode: answer.status });
        },
        { signal: Context.current().cancellationSignal },
      );
    } catch (error) {
      // What it means is in the breaker by now; here it is only told.
      const told = error instanceof CodedError ? error.failure.text : 'It could not be made.';
      log.info(`The probe of ${upstream} did not pass: ${told}`, { upstream });
    }
  };
}
