"""Varied chat prompts for the self-generated part of the training text: templates crossed with topics."""

import random

TOPIC_LIST = """
cats; dogs; horses; whales; sharks; birds of prey; owls; penguins; elephants; bees; butterflies; spiders; snakes;
dinosaurs; wolves; fish; rabbits; farm animals; the ocean; rivers; mountains; volcanoes; earthquakes; storms; snow;
deserts; forests; trees; flowers; gardening; mushrooms; the moon; the stars; black holes; Mars; rockets; astronauts;
gravity; light; electricity; magnets; atoms; chemistry; water; fire; the heart; the brain; sleep; dreams; vitamins;
diabetes; vaccines; cancer; headaches; pregnancy; babies; teeth; running; yoga; swimming; football; basketball;
tennis; chess; cycling; boxing; the Olympics; video games; board games; bread; pizza; chocolate; coffee; tea; wine;
beer; cheese; soup; pasta; rice; eggs; chicken; apples; bananas; strawberries; vegetables; spices; sushi; breakfast; a
birthday cake; cooking; restaurants; Paris; London; New York; Tokyo; Rome; Egypt; India; China; Brazil; Mexico;
Canada; Australia; Germany; Russia; Nigeria; Greece; the Roman Empire; ancient Greece; the French Revolution; World
War II; the American Civil War; Napoleon; Abraham Lincoln; Cleopatra; Martin Luther King; Gandhi; Einstein; Isaac
Newton; Marie Curie; Charles Darwin; Shakespeare; Mozart; Beethoven; jazz; rock music; the piano; the guitar; singing;
dancing; painting; Van Gogh; photography; movies; theatre; poetry; novels; fairy tales; dragons; wizards; ghosts;
vampires; pirates; knights; kings and queens; princesses; robots; aliens; time travel; superheroes; detectives; love;
marriage; friendship; family; mothers; fathers; grandparents; children; loneliness; sadness; grief; anger; fear;
happiness; hope; courage; honesty; jealousy; forgiveness; death; religion; God; Christianity; Islam; Buddhism; angels;
philosophy; ethics; freedom; democracy; elections; taxes; laws; police; prisons; crime; war; peace; soldiers; weapons;
money; banks; inflation; the stock market; real estate; insurance; jobs; salaries; interviews; leadership; marketing;
startups; advertising; shopping; clothes; shoes; fashion; jewelry; hair; makeup; houses; furniture; kitchens;
cleaning; cars; trains; airplanes; ships; bicycles; bridges; roads; cities; farms; factories; oil; solar power;
climate change; pollution; recycling; computers; the internet; smartphones; email; passwords; privacy; artificial
intelligence; programming; Python; JavaScript; SQL databases; HTML; algorithms; sorting a list; recursion; fractions;
prime numbers; algebra; geometry; triangles; probability; statistics; calculus; percentages; counting; time zones;
calendars; Christmas; Halloween; birthdays; weddings; school; teachers; homework; universities; exams; reading;
writing; grammar; spelling; French; Spanish; German; Latin; Chinese; translation; newspapers; television; radio;
libraries; museums; hotels; beaches; camping; hiking; holidays; the weather; rain; summer; winter; colors; gold;
diamonds; iron; plastic; glass; paper; clocks; mirrors; doors; keys; letters; secrets; lies
"""
TOPICS = tuple(" ".join(topic.split()) for topic in TOPIC_LIST.split(";"))

TEMPLATES = (
    "Tell me about {a}.",
    "What should I know about {a}?",
    "Write a short story about {a}.",
    "Write a poem about {a}.",
    "Explain {a} to a five-year-old.",
    "Give me five facts about {a}.",
    "Why do people care about {a}?",
    "What is the history of {a}?",
    "How are {a} and {b} different?",
    "Write a short dialogue about {a} and {b}.",
    "List ten words related to {a}.",
    "Give me advice about {a}.",
    "What are the dangers of {a}?",
    "What are the advantages and disadvantages of {a}?",
    "Tell me a joke about {a}.",
    "Write a letter to a friend about {a}.",
    "Describe {a} in one paragraph.",
    "Write a news article about {a}.",
    "Write a haiku about {a}.",
    "I am worried about {a}. What can I do?",
    "I love {a}! Do you?",
    "I hate {a}. Convince me otherwise.",
    "How does one get started with {a}?",
    "Write a Python function that has to do with {a}.",
    "Write a product review about {a}.",
    "Write a scary story about {a} and {b}.",
    "Write a happy song about {a}.",
    "Make a table about {a} in Markdown.",
    "Write three questions about {a} and answer them.",
    "Who is the most famous person connected with {a}?",
    "What would the world be like without {a}?",
    "Write an essay about {a} and {b}.",
    "Write an email to my boss about {a}.",
    "Translate 'I like {a}' into French and Spanish.",
    "Summarize the most important ideas about {a}.",
    "Write a sad story about {a}.",
    "Write a speech about {a}.",
    "Tell me step by step how {a} works.",
    "Write about {a} as a pirate would.",
    "Can you recommend a book about {a}?",
    "What does {a} smell, look and sound like?",
    "Plan a day that is all about {a}.",
    "Compose a riddle whose answer is {a}.",
    "How much does {a} cost?",
    "{a}",
    "What do {a} and {b} have in common?",
    "Write a recipe inspired by {a}.",
    "Write a diary entry about {a} from 1890.",
    "Escribe un texto corto sobre {a} en español.",
    "Écris un petit texte sur {a} en français.",
    "Schreibe einen kurzen Text über {a} auf Deutsch.",
    "Write a math word problem about {a} and solve it.",
    "Write a scientific abstract about {a}.",
    "Write HTML for a web page about {a}.",
    "Is it true that {a} is bad for you?",
)

SYSTEMS = (
    "You are a helpful assistant.",
    "You are a poet.",
    "You are a friendly teacher.",
    "You are a storyteller.",
    "Answer briefly.",
    "You are an expert programmer.",
    "You are a grumpy old sailor.",
    "You are a doctor.",
)


def draw(count: int, seed: int) -> list[list[dict[str, str]]]:
    """`count` conversations, each ending with a user message; three in four have no system message of their own."""
    rng = random.Random(seed)
    conversations: list[list[dict[str, str]]] = []
    for _ in range(count):
        first, second = rng.sample(TOPICS, 2)
        user = rng.choice(TEMPLATES).format(a=first, b=second)
        system = [{"role": "system", "content": rng.choice(SYSTEMS)}] if rng.random() < 0.25 else []
        conversations.append([*system, {"role": "user", "content": user}])
    return conversations
