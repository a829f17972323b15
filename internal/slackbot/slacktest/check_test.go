package slacktest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/profbot/profbot/internal/slackbot/slacktest"
)

// plain is a plain_text object of n characters.
func plain(n int) string {
	return fmt.Sprintf(`{"type":"plain_text","text":%q}`, strings.Repeat("x", n))
}

// many is the same item n times.
func many(item string, n int) string {
	return strings.TrimSuffix(strings.Repeat(item+",", n), ",")
}

func options(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`{"text":{"type":"plain_text","text":"o%d"},"value":"%d"}`, i, i))
	}
	return strings.Join(out, ",")
}

const button = `{"type":"button","action_id":"a","text":{"type":"plain_text","text":"Go"}`

// inputOf is a block of type input around an element.
func inputOf(element string) string {
	return `{"type":"input","label":` + plain(5) + `,"element":` + element + `}`
}

func TestCheckBlocks(t *testing.T) {
	actions := func(elements string) string { return `{"type":"actions","elements":[` + elements + `]}` }
	for name, tc := range map[string]struct {
		block string
		want  string // in the first problem; "" for none
	}{
		"header":                   {`{"type":"header","text":` + plain(150) + `}`, ""},
		"long header":              {`{"type":"header","text":` + plain(151) + `}`, "no more than 150"},
		"header in mrkdwn":         {`{"type":"header","text":{"type":"mrkdwn","text":"x"}}`, "unsupported type"},
		"empty section":            {`{"type":"section"}`, "missing required field"},
		"section with accessory":   {`{"type":"section","text":` + plain(3) + `,"accessory":` + button + `}}`, ""},
		"input as accessory":       {`{"type":"section","text":` + plain(3) + `,"accessory":{"type":"plain_text_input"}}`, `in a block of type "section"`},
		"long field":               {`{"type":"section","fields":[` + plain(2001) + `]}`, "no more than 2000"},
		"context":                  {`{"type":"context","elements":[` + many(plain(3), 10) + `]}`, ""},
		"full context":             {`{"type":"context","elements":[` + many(plain(3), 11) + `]}`, "no more than 10"},
		"long block id":            {`{"type":"divider","block_id":"` + strings.Repeat("x", 256) + `"}`, "no more than 255"},
		"unknown":                  {`{"type":"poem"}`, "unsupported type"},
		"image":                    {`{"type":"image","alt_text":"x","image_url":"https://a.example/x.png"}`, ""},
		"image of nothing":         {`{"type":"image","alt_text":"x"}`, "image_url or slack_file"},
		"image without words":      {`{"type":"image","image_url":"https://a.example/x.png"}`, "at least 1"},
		"buttons":                  {actions(button + `,"value":"v","style":"primary","accessibility_label":"go there","confirm":{"title":` + plain(100) + `,"text":` + plain(300) + `,"confirm":` + plain(30) + `,"deny":` + plain(30) + `}}`), ""},
		"no buttons":               {actions(``), "at least 1"},
		"too many buttons":         {actions(many(strings.Replace(button, `"action_id":"a",`, "", 1)+"}", 26)), "no more than 25"},
		"the same button twice":    {actions(many(button+"}", 2)), "there already"},
		"long button":              {actions(`{"type":"button","text":` + plain(76) + `}`), "no more than 75"},
		"long value":               {actions(button + `,"value":"` + strings.Repeat("x", 2001) + `"}`), "no more than 2000"},
		"long label":               {actions(button + `,"accessibility_label":"` + strings.Repeat("x", 76) + `"}`), "no more than 75"},
		"long action id":           {actions(`{"type":"button","action_id":"` + strings.Repeat("x", 256) + `","text":` + plain(1) + `}`), "no more than 255"},
		"style of a button":        {actions(button + `,"style":"loud"}`), "must be one of"},
		"confirm without text":     {actions(button + `,"confirm":{"title":` + plain(1) + `}}`), "missing required field"},
		"long confirm":             {actions(button + `,"confirm":{"text":` + plain(301) + `}}`), "no more than 300"},
		"overflow":                 {actions(`{"type":"overflow","options":[` + options(5) + `]}`), ""},
		"full overflow":            {actions(`{"type":"overflow","options":[` + options(6) + `]}`), "no more than 5"},
		"menu":                     {actions(`{"type":"static_select","placeholder":` + plain(150) + `,"options":[` + options(100) + `],"initial_option":` + options(1) + `}`), ""},
		"full menu":                {actions(`{"type":"static_select","options":[` + options(101) + `]}`), "no more than 100"},
		"empty menu":               {actions(`{"type":"static_select"}`), "at least 1"},
		"menu begins outside":      {actions(`{"type":"static_select","options":[` + options(2) + `],"initial_option":{"text":` + plain(1) + `,"value":"9"}}`), "not among"},
		"groups":                   {actions(`{"type":"static_select","option_groups":[{"label":` + plain(75) + `,"options":[` + options(2) + `]}]}`), ""},
		"groups and options":       {actions(`{"type":"static_select","options":[` + options(1) + `],"option_groups":[{"label":` + plain(75) + `,"options":[` + options(2) + `]}]}`), "not both"},
		"long option":              {actions(`{"type":"static_select","options":[{"text":` + plain(76) + `,"value":"v"}]}`), "no more than 75"},
		"long placeholder":         {actions(`{"type":"external_select","placeholder":` + plain(151) + `}`), "no more than 150"},
		"external menu":            {actions(`{"type":"external_select","placeholder":` + plain(9) + `}`), ""},
		"external menu with some":  {actions(`{"type":"external_select","options":[` + options(1) + `]}`), "static menus"},
		"several, at most none":    {actions(`{"type":"multi_users_select","max_selected_items":0}`), "at least 1"},
		"too many boxes":           {actions(`{"type":"checkboxes","options":[` + options(11) + `]}`), "no more than 10"},
		"text input in actions":    {actions(`{"type":"plain_text_input"}`), `in a block of type "actions"`},
		"input":                    {inputOf(`{"type":"plain_text_input","max_length":3000}`), ""},
		"input without element":    {`{"type":"input","label":` + plain(3) + `}`, "missing required field"},
		"input without label":      {`{"type":"input","element":{"type":"plain_text_input"}}`, "missing required field"},
		"button as input":          {inputOf(button + "}"), `in a block of type "input"`},
		"too long an input":        {inputOf(`{"type":"plain_text_input","max_length":3001}`), "no more than 3000"},
		"shorter than its least":   {inputOf(`{"type":"plain_text_input","min_length":9,"max_length":3}`), "less than min_length"},
		"number":                   {inputOf(`{"type":"number_input","is_decimal_allowed":false,"min_value":"1","max_value":"60","initial_value":"30"}`), ""},
		"number, decimal or not":   {inputOf(`{"type":"number_input"}`), "missing required field"},
		"number that is none":      {inputOf(`{"type":"number_input","is_decimal_allowed":false,"min_value":"one"}`), "not a number"},
		"number out of bounds":     {inputOf(`{"type":"number_input","is_decimal_allowed":false,"max_value":"60","initial_value":"61"}`), "out of bounds"},
		"bounds the wrong way":     {inputOf(`{"type":"number_input","is_decimal_allowed":false,"min_value":"60","max_value":"6"}`), "more than max_value"},
		"code":                     {`{"type":"rich_text","elements":[{"type":"rich_text_preformatted","border":0,"elements":[{"type":"text","text":"a\nb"}]}]}`, ""},
		"a mention in code":        {`{"type":"rich_text","elements":[{"type":"rich_text_preformatted","elements":[{"type":"user","user_id":"U0ADA0000"}]}]}`, "unsupported type"},
		"mention of nobody":        {`{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"user"}]}]}`, "at least 1"},
		"date":                     {`{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"date","timestamp":1,"format":"{time}"}]}]}`, ""},
		"date without format":      {`{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"date","timestamp":1}]}]}`, "format"},
		"date without time":        {`{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"date","format":"{time}"}]}]}`, "timestamp"},
		"list in a list":           {`{"type":"rich_text","elements":[{"type":"rich_text_list","style":"bullet","elements":[{"type":"rich_text_list","style":"bullet","elements":[]}]}]}`, "unsupported type"},
		"list of no style":         {`{"type":"rich_text","elements":[{"type":"rich_text_list","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"x"}]}]}]}`, "must be one of"},
		"empty text":               {`{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":""}]}]}`, "at least 1"},
		"table":                    {`{"type":"table","column_settings":[{"align":"right"}],"rows":[[{"type":"raw_text","text":"x"}]]}`, ""},
		"empty cell":               {`{"type":"table","rows":[[{"type":"raw_text","text":""}]]}`, "at least 1"},
		"alignment":                {`{"type":"table","column_settings":[{"align":"top"}],"rows":[[{"type":"raw_text","text":"x"}]]}`, "must be one of"},
		"tall table":               {`{"type":"table","rows":[` + many(`[{"type":"raw_text","text":"x"}]`, 101) + `]}`, "no more than 100"},
		"wide table":               {`{"type":"table","rows":[[` + many(`{"type":"raw_text","text":"x"}`, 21) + `]]}`, "no more than 20"},
		"blocks that are no array": {`}`, "invalid JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			got := slacktest.CheckMessage([]byte("[" + tc.block + "]"))
			switch {
			case tc.want == "" && len(got) > 0:
				t.Errorf("refused: %q", got)
			case tc.want != "" && (len(got) == 0 || !strings.Contains(got[0], tc.want)):
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestCheckMessage(t *testing.T) {
	divider := `{"type":"divider"}`
	table := `{"type":"table","rows":[[{"type":"raw_text","text":"x"}]]}`
	for name, tc := range map[string]struct{ message, want string }{
		"good":            {`{"text":"x","blocks":[` + many(divider, 50) + `]}`, ""},
		"no fallback":     {`{"blocks":[` + divider + `]}`, "notifications"},
		"long text":       {`{"text":"` + strings.Repeat("x", 40_001) + `"}`, "no more than 40000"},
		"51 blocks":       {`{"text":"x","blocks":[` + many(divider, 51) + `]}`, "no more than 50"},
		"two tables":      {`{"text":"x","blocks":[` + many(table, 2) + `]}`, "only one table"},
		"too much in all": {`{"text":"x","blocks":[` + many(`{"type":"section","text":`+plain(2900)+`}`, 5) + `]}`, "msg_blocks_too_long"},
		"one id twice":    {`{"text":"x","blocks":[` + many(`{"type":"divider","block_id":"d"}`, 2) + `]}`, "there already"},
		"no JSON":         {`{`, "invalid JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(slacktest.CheckMessage([]byte(tc.message)), "\n")
			if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestCheckView(t *testing.T) {
	input := inputOf(`{"type":"plain_text_input"}`)
	modal := func(more, blocks string) string {
		return `{"type":"modal","title":` + plain(24) + more + `,"blocks":[` + blocks + `]}`
	}
	for name, tc := range map[string]struct{ view, want string }{
		"modal":                 {modal(`,"submit":`+plain(24)+`,"close":`+plain(24), input), ""},
		"modal without submit":  {modal("", input), "needs a submit"},
		"modal that only tells": {modal("", `{"type":"divider"}`), ""},
		"modal without title":   {`{"type":"modal","blocks":[]}`, "missing required field"},
		"long title":            {`{"type":"modal","title":` + plain(25) + `,"blocks":[]}`, "no more than 24"},
		"long submit":           {modal(`,"submit":`+plain(25), input), "no more than 24"},
		"long private metadata": {modal(`,"private_metadata":"`+strings.Repeat("x", 3001)+`"`, ""), "no more than 3000"},
		"long callback":         {modal(`,"callback_id":"`+strings.Repeat("x", 256)+`"`, ""), "no more than 255"},
		"full":                  {modal("", many(`{"type":"divider"}`, 100)), ""},
		"too full":              {modal("", many(`{"type":"divider"}`, 101)), "no more than 100"},
		"table in a modal":      {modal("", `{"type":"table","rows":[[{"type":"raw_text","text":"x"}]]}`), "for messages"},
		"markdown in a modal":   {modal("", `{"type":"markdown","text":"x"}`), "for messages"},
		"home":                  {`{"type":"home","blocks":[` + input + `]}`, ""},
		"home with a title":     {`{"type":"home","title":` + plain(3) + `,"blocks":[]}`, "has no title"},
		"no blocks":             {`{"type":"home"}`, "missing required field"},
		"something else":        {`{"type":"tab","blocks":[]}`, "unsupported type"},
		"no JSON":               {`[`, "invalid JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(slacktest.CheckView([]byte(tc.view)), "\n")
			if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
