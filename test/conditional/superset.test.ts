import { declareBatchDeletes } from './batch-deletes.ts'
import { declareCompletes } from './completes.ts'
import { declareCopies } from './copies.ts'
import { declareDeletes } from './deletes.ts'
import { useProfile } from './profile.ts'
import { declareReads } from './reads.ts'
import { declareRefusals } from './refusals.ts'
import { declareWrites } from './writes.ts'

const fixture = useProfile('superset')
declareReads(fixture)
declareWrites(fixture)
declareCompletes(fixture)
declareCopies(fixture)
declareDeletes(fixture)
declareBatchDeletes(fixture)
declareRefusals(fixture)
