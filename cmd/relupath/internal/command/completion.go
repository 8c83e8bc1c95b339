package command

import (
	"github.com/spf13/cobra"
)

func (a *app) completion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print the completion script of a shell",
		Long: `completion prints a script that teaches a shell (bash, zsh, fish or powershell)
to complete relupath's commands, flags and their values.`,
		Example: `  relupath completion bash > relupath.bash
  relupath completion zsh > _relupath`,
		Args:                  cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs:             []string{"bash", "zsh", "fish", "powershell"},
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			top := cmd.Root()
			switch args[0] {
			case "bash":
				return top.GenBashCompletionV2(a.out, true)
			case "zsh":
				return top.GenZshCompletion(a.out)
			case "fish":
				return top.GenFishCompletion(a.out, true)
			default:
				return top.GenPowerShellCompletionWithDesc(a.out)
			}
		},
	}
}
