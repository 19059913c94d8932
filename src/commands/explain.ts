// What lives here: `mendflow explain`: what each retry looks like, before it happens.
// Invariant: it prints what the pure model says and decides nothing; no server is asked.
// Apart as every command: arguments, one call, output.
import { inWords, parseDuration } from '../model/duration.ts';
import { explain, limitSentence, type Explanation, type Scripted, type Spread } from '../model/explain.ts';
import { codes, isCode } from '../model/failure.ts';
import { breakerSettingsOf } from '../model/upstream.ts';
import { CommandError, type Exit } from './support/exit-codes.ts';
import type { Register } from './support/program.ts';
import type { Session } from './support/session.ts';
import type { Terminal } from './support/terminal.ts';

/** What upstreams ask for is cut to this as well (model/failure.ts); here it is refused, so that nobody reads another figure than he wrote. */
const DURATION_MAX_MS = 366 * 86_400_000;

interface Options {
  readonly when: string;
  readonly took?: string;
  readonly json?: boolean;
}

export const registerExplain: Register = (program, act) => {
  program
    .command('explain')
    .summary('what a stage does when its attempts end like this: waits, parks, questions')
    .argument('<pipeline>', 'name of the pipeline')
    .argument('<stage>', 'name of the stage')
    .requiredOption(
      '--when <outcomes>',
      'how the attempts end, such as http_503,http_503,ok; code@30s for a time the other side asks for; the last one repeats',
    )
    .option('--took <duration>', 'how long each attempt takes, such as 2s; default: the waits alone')
    .option('--json', 'print JSON')
    .action(
      act((session, pipeline: string, stage: string, options: Options) => run(session, pipeline, stage, options)),
    );
};

async function run(session: Session, name: string, written: string, options: Options): Promise<Exit> {
  const spec = await session.spec(name);
  const stage = written.split('[')[0]!;
  const policy = Object.hasOwn(spec.stages, stage) ? spec.stages[stage] : undefined;
  if (!policy)
    throw new CommandError(
      'notFound',
      `Pipeline ${name} has no stage "${stage}". It has: ${Object.keys(spec.stages).join(', ')}. See \`mendflow pipelines show ${name}\`.`,
    );
  const tookMs = options.took === undefined ? 0 : parseDuration(options.took);
  if (tookMs === undefined || tookMs > DURATION_MAX_MS)
    throw new CommandError(
      'usage',
      `--took has to be a duration such as 2s, of a year at most, and is "${options.took}". Nothing was changed. See \`mendflow help explain\`.`,
    );
  const heal = spec.heal ?? 'on';
  const { upstreams } = await session.declared();
  const key = policy.upstream ?? '';
  const one = Object.hasOwn(upstreams, key) ? upstreams[key] : undefined;
  const behind = one && { key, breaker: breakerSettingsOf(one), hasProbe: one.probe !== undefined };
  const told = explain({ policy, script: readScript(options.when), heal, tookMs, behind });
  const share = policy.quarantineShareMax;
  const records = share === undefined ? {} : { records: limitSentence(share) };
  if (options.json === true) session.terminal.json({ pipeline: name, stage, heal, ...told, ...records });
  else {
    write(session.terminal, `${name}/${stage}`, told);
    if (records.records !== undefined) session.terminal.line(records.records);
  }
  return 'ok';
}

/** Throws `usage` naming every word that is no outcome. */
function readScript(when: string): Scripted[] {
  const faults: string[] = [];
  const script = when.split(',').map((part): Scripted => {
    const word = part.trim();
    const [code = '', asked, ...more] = word.split('@');
    if (code === 'ok' && asked !== undefined) faults.push(`"${word}": what ends well asks for no time.`);
    if (code === 'ok') return 'ok';
    if (more.length > 0) faults.push(`"${word}" names several times; an upstream asks for one.`);
    const askedMs = asked === undefined ? undefined : parseDuration(asked);
    if (asked !== undefined && !(askedMs !== undefined && askedMs <= DURATION_MAX_MS))
      faults.push(`"${asked}" after @ has to be a duration such as 30s, of a year at most.`);
    if (!isCode(code)) {
      faults.push(`"${code}" is no outcome${nearest(code)}.`);
      return 'ok';
    }
    return { code, ...(askedMs === undefined ? {} : { askedMs }) };
  });
  if (faults.length > 0)
    throw new CommandError(
      'usage',
      `${faults.join('\n')}\nAn outcome is "ok" or a code: ${Object.keys(codes).join(', ')}. Nothing was changed. See \`mendflow help explain\`.`,
    );
  return script;
}

/** Codes that begin like the word, as far as any does. */
const nearest = (code: string): string => {
  for (let length = code.length; length >= 2; length--) {
    const near = Object.keys(codes).filter((one) => one.startsWith(code.slice(0, length)));
    if (near.length > 0) return `; there is ${near.slice(0, 8).join(', ')}`;
  }
  return '';
};

const span = ({ min, typical, max }: Spread): string => {
  const [low, high] = [inWords(min), inWords(max)];
  if (typical === 0 && max === 0) return '0 s';
  return low === high ? inWords(typical) : `~${inWords(typical)} (${low} – ${high})`;
};

function write(terminal: Terminal, of: string, { steps, end, budget, others }: Explanation): void {
  terminal.line(`${terminal.style('bold', of)}: ${budget.attemptsMax} attempts in ${inWords(budget.timeMs)}`);
  terminal.line();
  terminal.table(
    ['ATTEMPT', 'WAIT', 'TOTAL ELAPSED', 'ENDS WITH', 'WHAT HAPPENS'],
    steps.map((step) => [
      step.what === 'attempt' ? `${step.attempt} of ${step.attemptsMax}` : step.what,
      span(step.waitMs),
      span(step.elapsedMs),
      step.outcome === '' ? '' : `${step.outcome}${step.class === '' ? '' : ` (${step.class})`}`,
      step.text,
    ]),
  );
  terminal.line();
  terminal.line(endSentence[end]);
  if (others !== undefined) terminal.line(others);
}

const endSentence: Record<Explanation['end'], string> = {
  done: 'The run goes on; nobody was asked.',
  waiting: 'It goes on like this by itself, until it heals, the deadline of the run passes, or an operator decides.',
  asking: 'It waits for as long as it takes: a park for a decision has no end of its own.',
  failed: 'Start the run again once the cause is mended.',
};
