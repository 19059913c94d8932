// What lives here: `mendflow pipelines`.
// Invariant: what is printed is read from the same values the worker runs.
// Apart as every command: arguments, one call, output.
import { defaultDataDate } from '../model/data-date.ts';
import { limitWords } from '../model/explain.ts';
import type { AnySpec, Policy } from '../model/spec.ts';
import type { Exit } from './support/exit-codes.ts';
import { helpOf } from './support/inputs.ts';
import type { Register } from './support/program.ts';
import { runbookPath } from './support/runbooks.ts';
import type { Session } from './support/session.ts';
import { escaped } from './support/terminal.ts';

export const registerPipelines: Register = (program, act) => {
  const pipelines = program
    .command('pipelines')
    .summary('the pipelines of this project; `pipelines show <name>` for stages, policies and inputs')
    .helpCommand(false)
    .option('--json', 'print JSON')
    .action(act((session, options: { json?: boolean }) => list(session, options.json === true)));
  pipelines
    .command('show')
    .summary('stages with their policies, inputs with their help')
    .argument('<name>', 'name of the pipeline')
    .option('--json', 'print JSON')
    .action(
      act((session, name: string, options: { json?: boolean }) =>
        show(session, name, options.json === true || pipelines.opts<{ json?: boolean }>().json === true),
      ),
    );
};

/** The spec without its code: what a script may rely on. */
function publicSpec(spec: AnySpec, cwd: string) {
  const { name, owner, about, runbook, every, timezone, offset, logic, scope, deadline, heal, input, stages } = spec;
  return {
    name,
    owner,
    about,
    runbook: runbook === undefined ? undefined : runbookPath(cwd, runbook),
    every,
    timezone,
    offset,
    logic,
    scope,
    deadline,
    heal: heal ?? 'on',
    defaultDate: defaultDataDate(spec, Date.now()),
    input: input ?? {},
    stages,
  };
}

async function list(session: Session, json: boolean): Promise<Exit> {
  const { specs } = (await session.declared()).registry;
  const { terminal } = session;
  if (json) terminal.json(specs.map((spec) => publicSpec(spec, session.cwd)));
  else
    terminal.table(
      ['PIPELINE', 'EVERY', 'OWNER', 'INPUTS', 'ABOUT'],
      specs.map((spec) => [
        spec.name,
        spec.every,
        escaped(spec.owner),
        Object.keys(spec.input ?? {}).join(', '),
        escaped(spec.about ?? ''),
      ]),
    );
  return 'ok';
}

async function show(session: Session, name: string, json: boolean): Promise<Exit> {
  const spec = await session.spec(name);
  const { terminal } = session;
  if (json) {
    terminal.json(publicSpec(spec, session.cwd));
    return 'ok';
  }
  const bold = (text: string): string => terminal.style('bold', text);
  terminal.line(`${bold(spec.name)}  ${escaped(spec.about ?? '')}`.trimEnd());
  terminal.line(
    `  owner    ${escaped(spec.owner)}${spec.runbook === undefined ? '' : `, runbook ${runbookPath(session.cwd, spec.runbook)}`}`,
  );
  terminal.line(`  date     ${dateLine(spec)}`);
  terminal.line(
    `  healing  ${spec.heal === 'off' ? 'off: the first spent budget fails the run' : 'on'}${spec.deadline === undefined ? '' : `; ${spec.deadline} after its start a run that still waits asks`}`,
  );
  const inputs = Object.entries(spec.input ?? {});
  if (inputs.length > 0) {
    terminal.line();
    terminal.table(
      ['INPUT', 'HELP', 'DEFAULT', ''],
      inputs.map(([key, field]) => [
        key,
        escaped(helpOf(field)),
        field.default === undefined ? 'required' : escaped(String(field.default)),
        spec.scope?.includes(key) ? 'part of the run' : '',
      ]),
    );
  }
  terminal.line();
  terminal.table(
    ['STAGE', 'BUDGET', 'WAITS', 'ONE ATTEMPT', 'THEN', 'CAN BE'],
    Object.entries(spec.stages).map(([stage, policy]) => [stage, ...policyCells(policy)]),
  );
  const set = inputs.filter(([, field]) => field.default === undefined).map(([key]) => ` --set ${key}=…`);
  terminal.line();
  terminal.line(`  start    mendflow start ${spec.name}${set.join('')} --wait`);
  terminal.line(`  explain  mendflow explain ${spec.name} ${Object.keys(spec.stages)[0]} --when http_503,http_503,ok`);
  return 'ok';
}

const dateLine = (spec: AnySpec): string =>
  spec.every === 'none'
    ? 'none: a run is told by its inputs alone'
    : `every ${spec.every} in ${spec.timezone ?? 'UTC'}${spec.offset === undefined ? '' : `, ${spec.offset} back`}; now ${defaultDataDate(spec, Date.now())}`;

function policyCells({ budget, backoff, attempt, heartbeat, slow, onSkip, quarantineShareMax }: Policy): string[] {
  const can = [
    ...(onSkip ? ['skipped'] : []),
    ...(quarantineShareMax === undefined ? [] : ['continued with accepted loss']),
  ];
  const limit = quarantineShareMax === undefined ? '' : `; ${limitWords(quarantineShareMax)}`;
  return [
    `${budget.attemptsMax} attempts in ${budget.time}`,
    `${backoff.first}, times ${backoff.factor}, up to ${backoff.max}`,
    `${attempt}; silent for ${heartbeat}: taken for dead`,
    `one attempt every ${slow}${limit}`,
    can.join(', '),
  ];
}
