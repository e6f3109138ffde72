/** Features under steering while somebody edits them: each at most once for an SAE, each with the numbers of its operation. */
import type { FeatureSummary, Operation, ProfileRequest, SteeredFeature } from '#lib/api/types.ts';
import { withOperation, type Parameter } from './operations.ts';
import { legalStrength, steeringRange } from './steering-range.ts';

export type ListedFeature = NonNullable<ProfileRequest['features']>[number];
export type Condition = NonNullable<SteeredFeature['when']>;
export type Scope = NonNullable<SteeredFeature['scope']>;

export class FeatureList {
  #items = $state.raw<readonly ListedFeature[]>([]);
  #isChanged = false;
  readonly #onChange: () => void;

  constructor(items: readonly ListedFeature[] = [], onChange: () => void = () => undefined) {
    this.#items = items;
    this.#onChange = onChange;
  }

  get items(): readonly ListedFeature[] {
    return this.#items;
  }
  /** Whether anything was changed since it was made. */
  get isChanged(): boolean {
    return this.#isChanged;
  }

  /** An item that names no SAE is of the one asked about. */
  has(index: number, saeId: string | null): boolean {
    return this.#items.some((item) => item.index === index && (item.sae_id ?? saeId) === saeId);
  }

  /** Adds it with a strength that suits it; `isNamed`: the item itself names its SAE. */
  add(feature: FeatureSummary, saeId: string | null, { strength, isNamed = false }: AddOptions = {}): void {
    if (this.has(feature.index, saeId)) return;
    this.replace([
      ...this.#items,
      {
        index: feature.index,
        label: feature.label,
        op: 'add',
        strength: strength ?? steeringRange(feature).suggested,
        ...(isNamed && { sae_id: saeId }),
      },
    ]);
  }

  remove(at: number): void {
    this.replace(this.#items.filter((_, index) => index !== at));
  }

  setOperation(at: number, op: Operation): void {
    this.#change(at, (item) => withOperation(item, op));
  }

  setNumber(at: number, name: Parameter, to: number): void {
    this.#change(at, (item) => ({ ...item, [name]: name === 'strength' ? legalStrength(to) : to }));
  }

  /** null: at every token. */
  setCondition(at: number, when: Condition | null): void {
    this.#change(at, ({ when: _, ...item }) => (when ? { ...item, when } : item) as ListedFeature);
  }

  setScope(at: number, scope: Scope | null): void {
    this.#change(at, ({ scope: _, ...item }) => (scope ? { ...item, scope } : item) as ListedFeature);
  }

  replace(items: readonly ListedFeature[]): void {
    this.#items = items;
    this.#isChanged = true;
    this.#onChange();
  }

  #change(at: number, change: (item: ListedFeature) => ListedFeature): void {
    this.replace(this.#items.map((item, index) => (index === at ? change(item) : item)));
  }
}

interface AddOptions {
  strength?: number;
  isNamed?: boolean;
}
