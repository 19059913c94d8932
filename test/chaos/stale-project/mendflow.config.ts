// What lives here: the project that the worker processes of the tests about stopped workers find in their folder.
// Invariant: a stage that waits ends when the file of its run is there, and never by itself; one that calls makes one call.
// Apart because a worker looks for exactly this file name.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from 'mendflow/model';
import { project, serve, stage } from 'mendflow/worker';
import { work } from './pipelines.ts';

const dir = process.env['MENDFLOW_DIR'] ?? '';

export default project({
  workflows: new URL('./pipelines.ts', import.meta.url),
  serve: () => [
    serve(work, {
      async step({ id, how }) {
        if (how === 'ask') throw new CodedError('config_invalid', 'It asks because it was told to.');
        const { signal } = stage();
        if (how === 'call') {
          const answer = await fetch(`${process.env['API_URL'] ?? ''}/${id}`, { signal });
          await answer.text();
          if (!answer.ok)
            throw Object.assign(new Error('not ok'), { statusCode: answer.status, headers: answer.headers });
        }
        while (how === 'wait' && !existsSync(join(dir, `${id}.go`))) await sleep(50, undefined, { signal });
        return id;
      },
    }),
  ],
});
