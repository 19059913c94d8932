// What lives here: the demo upstream as a process of its own: `tsx demo/upstream/main.ts --port 8018 --token first`.
// Invariant: prints its two addresses as one line of JSON when it listens; ends with 0 on Ctrl-C and SIGTERM.
// Apart from the service because tests and the story start that in their own process.
import { parseArgs } from 'node:util';
import { startDemoUpstream } from './upstream.ts';

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    'control-port': { type: 'string' },
    seed: { type: 'string' },
    'calls-per-second': { type: 'string' },
    token: { type: 'string' },
    'log-file': { type: 'string' },
  },
});

/** Throws unless it is a whole number. */
function whole(name: keyof typeof values): number | undefined {
  const written = values[name];
  if (written === undefined) return undefined;
  if (!/^\d+$/.test(written)) throw new Error(`--${name} has to be a whole number, and is "${written}".`);
  return Number(written);
}

const given = {
  port: whole('port'),
  controlPort: whole('control-port'),
  seed: whole('seed'),
  callsPerSecond: whole('calls-per-second'),
  token: values.token,
  logFile: values['log-file'],
};
const upstream = await startDemoUpstream(
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
);
process.stdout.write(`${JSON.stringify({ address: upstream.address, control: upstream.control })}\n`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void upstream.stop());
