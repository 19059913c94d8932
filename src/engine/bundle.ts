// What lives here: workflow code as one bundle.
// Invariant: run from source, the engine in the bundle is the source too; what the bundler says reaches whoever started it.
// Apart because it takes a second and is done once, by the worker, by `check` and by tests.
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, type Logger } from '@temporalio/worker';
import { CodedError } from '../model/failure.ts';

/** Workflow code as one bundle; takes about a second, so build it once and keep it. Throws `config_invalid` with what the bundler said. */
export async function bundleWorkflows(workflows: URL): Promise<{ code: string }> {
  const workflowsPath = fileURLToPath(workflows);
  const said: string[] = [];
  const hear = (message: string): void => void said.push(message);
  try {
    return await bundle(workflowsPath, {
      ...quiet,
      error: hear,
      log: (level, message) => level === 'ERROR' && hear(message),
    });
  } catch (cause) {
    // The error itself only says that there were errors; what they are goes to the logger.
    const text = said.length > 0 ? said.join('\n') : cause instanceof Error ? cause.message : String(cause);
    throw new CodedError(
      'config_invalid',
      `The workflows of ${workflowsPath} cannot be bundled; nothing was started.\n${text}`,
      { cause },
    );
  }
}

const bundle = (workflowsPath: string, logger: Logger): Promise<{ code: string }> =>
  bundleWorkflowCode({
    workflowsPath,
    logger,
    // Run from source, `mendflow/workflow` has to be the source too: two copies of the engine would share nothing.
    ...(import.meta.url.endsWith('.ts')
      ? {
          webpackConfigHook: (config) => ({
            ...config,
            resolve: { ...config.resolve, conditionNames: ['mendflow-src', 'require', 'node', 'default'] },
          }),
        }
      : {}),
  });

const nothing = (): void => undefined;
const quiet = { log: nothing, trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing };
