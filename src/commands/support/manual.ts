// What lives here: for every command a paragraph and examples, as `--help` shows them.
// Invariant: no command without both; every example is a command line that would be taken (a test reads each).
// Apart because this is text, written and read in one go, and the commands are code.
import type { Command } from 'commander';

interface Entry {
  /** Where the command's own file has no paragraph. */
  readonly about?: string;
  readonly examples: readonly string[];
}

const RUN = 'log-ingest/2026-11-21/app-1a2b3c4d';

const manual: Readonly<Record<string, Entry>> = {
  start: {
    examples: [
      'start log-ingest --set path=/var/log/app --set format=plain --wait',
      'start daily-report --date 2026-11-20 --wait',
      'start daily-report --date 2026-11-20 --force --wait',
    ],
  },
  runs: { examples: ['runs', 'runs --state asking', 'runs --pipeline log-ingest --date 2026-11-21 --json'] },
  show: {
    about:
      'Shows one run: its stages, what it waits for and until when, what it asks with the commands that answer, who decided what, and its balance. A part of the name is enough if only one run has it.',
    examples: [`show ${RUN}`, 'show app-1a2b3c4d --json'],
  },
  logs: {
    about:
      'Tells in order what went wrong in a run: failed attempts, parks and decisions. Lines of workers only with --worker.',
    examples: [`logs ${RUN}`, `logs ${RUN} --worker`],
  },
  letters: {
    about:
      'Dead letters are records that could not be loaded. They are kept sealed, with their place and all that is wrong with them.',
    examples: [`letters list --run ${RUN}`, 'letters show 3f2a9c41'],
  },
  'letters list': {
    about: 'Lists dead letters with their place and their code, and nothing that came from a record.',
    examples: ['letters list --state open', `letters list --run ${RUN} --json`],
  },
  'letters show': {
    about: 'Opens one letter: the bytes of the record and all that is wrong with it. They may be personal or secret.',
    examples: ['letters show 3f2a9c41', 'letters show 3f2a9c41 --json'],
  },
  views: {
    about:
      "Prints links that open Temporal's Web UI with a filter: runs that ask, that wait, that are under way, that have dead letters.",
    examples: ['views', 'views --json'],
  },
  'last-night': {
    about:
      'Looks back over a stretch of time: runs, failed and lost attempts and what healed them, outages of upstreams, what waits now, and letters. All of it is counted from the database.',
    examples: ['last-night', 'last-night --since "12 hours"', 'last-night --since 2026-11-21T20:00:00Z --json'],
  },
  retry: {
    about: 'Tries a stage that waits again now, with its whole budget. Say why; it is kept with who and when.',
    examples: [
      `retry ${RUN} list --reason "the folder is mounted again"`,
      'retry --all --upstream http:main_api --reason "credential renewed"',
    ],
  },
  skip: {
    about: 'Goes on without a stage that waits. Only where its pipeline declares what the stage then gives.',
    examples: [`skip ${RUN} enrich --reason "not needed for this day"`],
  },
  'extend-budget': {
    about: 'Gives a stage more attempts or more time, also while it still tries.',
    examples: [
      `extend-budget ${RUN} list --attempts 4 --reason "they restart it now"`,
      `extend-budget ${RUN} list --time "10 minutes" --reason "they restart it now"`,
    ],
  },
  'accept-loss': {
    about:
      'Gives up what the question says would be lost, and goes on. The run is then degraded and says how much: records and rows where they can be counted, and bytes of what was never read, which is in no figure of records.',
    examples: [`accept-loss ${RUN} 'ingest[a.log]' --reason "agreed with the owner"`],
  },
  abort: {
    about: 'Ends a run. What is committed stays; the rest is given up unread, with the reason.',
    examples: [
      `abort ${RUN} --reason "wrong folder"`,
      'abort --all --pipeline log-ingest --reason "wrong folder" --dry-run',
    ],
  },
  upstreams: {
    about:
      'Lists the outside services of this project as they are declared: address, limits, breaker, secrets, the stages that call them, and how their breakers are now.',
    examples: ['upstreams', 'upstreams --json'],
  },
  breakers: {
    about:
      'A breaker says whether an upstream may be called now. What it does by itself is shown; what an operator says stands above it.',
    examples: ['breakers list', 'breakers show http:main_api'],
  },
  'breakers list': {
    about: 'Lists all breakers: how each is and since when, why, who waits, and what happens next by itself.',
    examples: ['breakers list', 'breakers list --json'],
  },
  'breakers show': {
    about:
      'Shows one breaker: how it is and why, what it has counted, who waits, what happened, and commands ready to copy.',
    examples: ['breakers show http:main_api', 'breakers show main_api --json'],
  },
  'breakers force-open': {
    about: 'No call is made to the upstream until the time is over or somebody says auto. Runs park meanwhile.',
    examples: ['breakers force-open http:main_api --for "1 hour" --reason "they move house"'],
  },
  'breakers force-close': {
    about: 'Every call is made, whatever it meets, until the time is over or somebody says auto.',
    examples: ['breakers force-close http:main_api --for "15 minutes" --reason "to see what they answer"'],
  },
  'breakers observe': {
    about: 'The breaker counts what the upstream does, and lets every call through.',
    examples: ['breakers observe http:main_api --reason "first week"'],
  },
  'breakers auto': {
    about: 'Ends what an operator said, and a hold: the breaker decides again by itself.',
    examples: ['breakers auto http:main_api --reason "credential renewed"'],
  },
  pipelines: {
    about: 'Lists the pipelines of this project: those of mendflow.config.ts, else those of this package.',
    examples: ['pipelines', 'pipelines show log-ingest'],
  },
  'pipelines show': {
    about: 'Shows a pipeline: its data date, its inputs with their help, and each stage with its policy.',
    examples: ['pipelines show log-ingest', 'pipelines show log-ingest --json'],
  },
  explain: {
    about:
      'Says what a stage will do when its attempts end in this way: waits, parks and questions. Nothing is run and no server is asked.',
    examples: [
      'explain daily-report extract --when http_503,http_503,ok',
      'explain daily-report extract --when http_429@30s,ok --took 2s',
    ],
  },
  init: { examples: ['init', 'init my-pipelines'] },
  new: {
    about: 'Adds to the project of this folder.',
    examples: ['new pipeline web-orders'],
  },
  'new pipeline': { examples: ['new pipeline web-orders', 'new pipeline shop-orders --from http'] },
  dev: { examples: ['dev', 'dev --down'] },
  check: { examples: ['check', 'check --no-histories --json', 'check --allow lodash'] },
  stack: {
    about: 'Postgres, Temporal and workers of this folder, in the background. Their data is below .mendflow.',
    examples: ['stack up --workers 2', 'stack status', 'stack down'],
  },
  'stack up': {
    about:
      'Brings up what is missing of Postgres, Temporal and workers, and leaves it running. To call it again repairs what has ended, and replaces workers, one after another, if files of the project changed since they were started; each first finishes what it holds.',
    examples: ['stack up', 'stack up --workers 2'],
  },
  'stack down': {
    about: 'Ends all of it; workers first finish what they hold. All data stays.',
    examples: ['stack down'],
  },
  'stack status': { about: 'Says what runs, and where.', examples: ['stack status', 'stack status --json'] },
  migrate: {
    about: 'Brings the database to the schema of this release. A worker does it at its start, too.',
    examples: ['migrate', 'migrate --json'],
  },
  doctor: {
    about:
      'Looks at everything it can reach, says what is wrong, and names the command that mends it. It changes nothing.',
    examples: ['doctor', 'doctor --json'],
  },
  help: {
    about: 'Help on a command, or the numbers that commands end with.',
    examples: ['help start', 'help breakers show', 'help exit-codes'],
  },
};

/** Adds paragraph and examples to every command below. */
export function describeAll(program: Command, above = ''): void {
  for (const command of program.commands) {
    const path = `${above}${command.name()}`;
    const entry = manual[path];
    if (entry) {
      if (entry.about !== undefined && command.description() === '') command.description(entry.about);
      const lines = entry.examples.map((example) => `  mendflow ${example}`);
      command.addHelpText('after', `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${lines.join('\n')}`);
    }
    describeAll(command, `${path} `);
  }
}
