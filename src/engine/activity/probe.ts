// What lives here: the declared probe of an upstream: one cheap GET.
// Invariant: it goes through the breaker and the connector like every call, so it is one leased trial, and it carries credentials to the declared origin alone.
// Apart from recovery because it calls the world, and on a queue of the upstream's own.
import { Context, log } from '@temporalio/activity';
import { openHttp } from '../../connectors/http/index.ts';
import type { OpenUpstreams, UpstreamClient } from '../../connectors/upstream.ts';
import { CodedError } from '../../model/failure.ts';
import type { Recovering } from '../workflow/recovery.ts';

/** A probe is cheap; whoever answers with more than this has answered. */
const BYTES_MAX = 1024 * 1024;

export function probeIn(upstreams: OpenUpstreams): Recovering['probe'] {
  return async ({ upstream }) => {
    try {
      await makeProbe(upstreams, upstream, Context.current().cancellationSignal);
    } catch (error) {
      // What it means is in the breaker by now; here it is only told.
      const told = error instanceof CodedError ? error.failure.text : 'It could not be made.';
      log.info(`The probe of ${upstream} did not pass: ${told}`, { upstream });
    }
  };
}

/** One GET of the declared probe; without one, nothing. Throws coded errors as every call does, or what it was stopped with. */
export async function makeProbe(upstreams: OpenUpstreams, key: string, signal: AbortSignal): Promise<void> {
  const one = upstreams.at(key);
  const { probe } = one.declared;
  if (probe === undefined) return;
  const client = openHttp(notLedAway(one, probe), { readSecret: (secret) => upstreams.readSecret(secret) });
  try {
    await client.get(probe, { accept: 'bytes', bytesMax: BYTES_MAX, signal });
  } finally {
    await client.close();
  }
}

/** To a call a redirect to elsewhere is an answer; to a probe it may be the login page of whatever stands before an upstream that is away. */
const notLedAway = (one: UpstreamClient, probe: string): UpstreamClient => ({
  ...one,
  call: (work, options) =>
    one.call(async (signal) => {
      try {
        return await work(signal);
      } catch (error) {
        if (!(error instanceof CodedError) || !ledAway.has(error.failure.code)) throw error;
        throw new CodedError(
          'answer_unreadable',
          `The probe ${probe} of ${one.key} is redirected to another origin or in a circle, which proves nothing. If that is as it should be, correct \`probe\` or \`origins\` and deploy.`,
          { upstream: one.key, cause: error },
        );
      }
    }, options),
});
const ledAway: ReadonlySet<string> = new Set(['left_origin', 'redirect_refused']);
