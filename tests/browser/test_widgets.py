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
