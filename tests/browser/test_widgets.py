"""Values that a page shows are those that are run."""


def test_small_numbers_are_shown_and_kept_by_vue_nodes(tab, workflow):
    tab.settings(Comfy_VueNodes_Enabled=True)
    tab.open(workflow("train_model"))
    field = tab.page.locator("[aria-label=learning_rate] input, input[aria-label=learning_rate]").first
    assert field.input_value() == "0.0005"
    field.focus()
    field.press("Tab")
    prompt = tab.run("async () => (await app.graphToPrompt()).output")
    (training,) = (node for node in prompt.values() if node["class_type"] == "SoraTrain")
    assert training["inputs"]["learning_rate"] == 0.0005


def test_a_new_block_that_resumes_keeps_its_seed(english):
    english.run("() => app.graph.clear()")
    control = """([name, saved]) => {
        const node = LiteGraph.createNode(name);
        app.graph.add(node);
        const widget = node.widgets.find(w => w.name === "control_after_generate");
        if (saved) node.configure({ ...node.serialize(), widgets_values: node.widgets.map(w =>
            w === widget ? saved : w.value) });
        return widget.value;
    }"""
    for name in ("SoraLongVideoSampler", "SoraTrain"):
        assert english.run(control, [name, None]) == "fixed"
        assert english.run(control, [name, "increment"]) == "increment"
    assert english.run(control, ["SoraSampler", None]) == "randomize"
