// What lives here: the worker of the same project, which also serves the stage that Mendflow took.
// Invariant: it is the project's own worker; Mendflow only wraps the code of one stage.
// Apart because it is compared with ../before, line by line.
import { fileURLToPath } from 'node:url';
import { type NativeConnection, Worker } from '@temporalio/worker';
import { guardedStages } from 'mendflow/worker';
import * as activities from '../activities.ts';

export const createWorker = (connection: NativeConnection, taskQueue: string): Promise<Worker> =>
  Worker.create({
    connection,
    taskQueue,
    workflowsPath: fileURLToPath(new URL('workflows.ts', import.meta.url)),
    activities: { ...activities, ...guardedStages('nightly-orders', { fetchOrders: activities.fetchOrders }) },
  });
