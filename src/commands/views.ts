// What lives here: `mendflow views`: links that open Temporal's Web UI on the runs one looks for.
// Invariant: the filters are those of the README, in the words of the search attributes; nothing is written on the cluster.
// Apart as every command: arguments, one call, output.
import { CommandError, type Exit } from './support/exit-codes.ts';
import type { Register } from './support/program.ts';
import type { Session } from './support/session.ts';

export const registerViews: Register = (program, act) => {
  program
    .command('views')
    .summary("links into Temporal's Web UI: what asks, what waits, what has dead letters")
    .option('--json', 'print JSON')
    .action(act((session, options: { json?: boolean }) => views(session, options.json === true)));
};

/** A run that waited was continued as new: the execution before is the same run once more. */
const once = 'ExecutionStatus != "ContinuedAsNew"';

/** Name and query. Closed runs keep the health of their end, so an open question is one of a running workflow. */
const queries: readonly (readonly [string, string])[] = [
  ['asks', `PipelineHealth = "asking" AND ExecutionStatus = "Running"`],
  ['waits or tries again', `PipelineHealth IN ("retrying", "parked") AND ExecutionStatus = "Running"`],
  ['under way', `PipelineName IS NOT NULL AND ExecutionStatus = "Running"`],
  ['has dead letters', `DeadLetters > 0 AND ${once}`],
  ['all runs', `PipelineName IS NOT NULL AND ${once}`],
];

async function views(session: Session, json: boolean): Promise<Exit> {
  const { uiUrl, temporal } = await session.temporal();
  if (uiUrl === undefined)
    throw new CommandError(
      'usage',
      'Only the address of the Web UI of the stack is known here, and this Temporal server is one of yours. Open its Web UI, and paste a query of README ("Operate") into its filter. Nothing was changed.',
    );
  const base = `${uiUrl.replace(/\/$/, '')}/namespaces/${encodeURIComponent(temporal.namespace)}/workflows?query=`;
  const found = queries.map(([name, query]) => ({ name, query, link: `${base}${encodeURIComponent(query)}` }));
  if (json) session.terminal.json(found);
  else {
    for (const { name, link } of found) session.terminal.line(`${name.padEnd(20)}  ${link}`);
    session.terminal.note(
      'The browser keeps saved views and columns: open a link, choose columns, press "Save as New".',
    );
  }
  return 'ok';
}
