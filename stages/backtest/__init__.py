"""All interactions -> metrics of models that are fitted again and again, each tested on what came next."""
