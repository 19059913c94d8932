// Builds the workflow bundle once, so that a worker starts without a bundler, and checks which packages are in it.
// Invariant: the packages equal the allow-list; a pipeline file that pulls in more stops the build with its name.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

const root = new URL('../', import.meta.url);
const allowed = ['@temporalio/common', '@temporalio/workflow', 'long', 'ms', 'nexus-rpc'];
const silent = Object.fromEntries(
  ['log', 'trace', 'debug', 'info', 'warn', 'error'].map((name) => [name, () => undefined]),
);

const { code } = await bundleWorkflowCode({
  workflowsPath: fileURLToPath(new URL('dist/workflows/index.js', root)),
  logger: silent,
});
const map = JSON.parse(Buffer.from(code.slice(code.lastIndexOf('base64,') + 7), 'base64').toString('utf8'));
const packages = new Set(
  map.sources.flatMap((source) => {
    const found = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(source);
    return found ? [found[1]] : [];
  }),
);
const foreign = [...packages].filter((name) => !allowed.includes(name));
if (foreign.length > 0) {
  process.stderr.write(
    `The workflow bundle holds packages that may not run in Temporal's sandbox: ${foreign.join(', ')}. ` +
      'A file below src/workflows or src/model imports one of them; import types only, or move the code to an activity.\n',
  );
  process.exit(1);
}
const target = new URL('dist/workflow-bundle.js', root);
writeFileSync(target, code);
