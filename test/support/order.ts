// What lives here: in which order test files start.
// Invariant: files of one project follow each other, the longest projects first; which files run never depends on it.
// Apart because vitest knows how long files take only after a first run, and ends a shared process where the next file is of another project.
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const projects = ['chaos', 'integration', 'unit'];

export class Order extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ project }: TestSpecification): number => projects.indexOf(project.name);
    return (await super.sort(files)).sort((one, other) => rank(one) - rank(other));
  }
}
