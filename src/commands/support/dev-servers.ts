// What lives here: what `mendflow dev` says of the servers under it: when they go, when they are back, and what is left at its end.
// Invariant: only servers of this folder's stack are told of, and nothing is started or ended.
// Apart from the command because it looks by itself, beside the worker and the files.
import { setTimeout as sleep } from 'node:timers/promises';
import { missingParts, wasEnded } from '../../stack/index.ts';
import type { Session } from './session.ts';

const LOOK_EVERY_MS = 1_000;

type Place = Pick<Session, 'config' | 'signal'>;

/** The stack's own servers that do not run: `Postgres`, `Temporal`. */
const missing = async ({ dir, databaseUrl, temporal }: Session['config']): Promise<string[]> => {
  const temporalAddress = temporal?.connectionOptions.address;
  return (await missingParts({ dir, databaseUrl, temporalAddress, workers: 0 })).map(({ what }) => what);
};

/** Says what happens to them until the signal aborts. */
export async function tellServers({ config, signal }: Place, say: (line: string) => void): Promise<void> {
  let told = '';
  while (!signal.aborted) {
    // What cannot be read just now is looked at again.
    const gone = await missing(config).catch(() => undefined);
    const now = gone === undefined ? told : gone.length === 0 ? '' : lost(gone, config.dir);
    if (now !== told) say(now === '' ? BACK : now);
    told = now;
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
}

const BACK = 'The stack is back, and runs go on. A worker that ended meanwhile starts when a file changes.';

function lost(gone: readonly string[], dir: string): string {
  const [have, were] = gone.length > 1 ? ['have', 'were'] : ['has', 'was'];
  const what = wasEnded(dir)
    ? `The stack in ${dir} was ended by \`mendflow stack down\`.`
    : `${gone.join(' and ')} of the stack in ${dir} ${have} ended or ${were} killed; the end of the log in ${dir}/logs may say why.`;
  return `${what} Nothing is worked until it is back; runs keep their place and all data is kept. Bring it back with \`mendflow stack up --workers 0\` in another terminal, or end this with Ctrl-C and start \`mendflow dev\` again.`;
}

/** What a worker says again and again while its Temporal server is away: beside what is told here it is noise. */
export const repeatsTheLoss = (line: string, { temporal }: Session['config']): boolean =>
  temporal === undefined && /^WARN {2}gRPC call \w+ retried \d+ times$/.test(line);

/** What goes on after Ctrl-C, and how to see it, go on with it or end it. */
export async function leftBehind(config: Session['config']): Promise<string> {
  const runs = 'Runs that are open keep their place and wait for a worker';
  if (config.databaseUrl !== undefined && config.temporal !== undefined)
    return `The worker has ended. ${runs}: \`mendflow runs\` lists them, \`mendflow dev\` goes on with them.`;
  const gone = await missing(config);
  if (gone.length > 0)
    return `The worker has ended, and ${gone.join(' and ')} of the stack ${gone.length > 1 ? 'do' : 'does'} not run. ${runs}: \`mendflow dev\` brings the stack back, with all data, and goes on with them.`;
  return `The worker has ended; the stack stays up, in the background. ${runs}: \`mendflow runs\` lists them, \`mendflow dev\` goes on with them, \`mendflow stack down\` ends the stack and keeps all data.`;
}
