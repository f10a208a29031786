function rtelasto_receive(RcvData)
%RTELASTO_RECEIVE  External function on 'receive': sends a frame of channel data to rtelasto.
%   On its first call it reads the structures of the base workspace and binds (RtelastoEndpoint in the
%   base workspace, else tcp://127.0.0.1:5555). clear rtelasto_receive after changing depth or angles.
persistent meta
if isempty(meta)
    names = {'Trans', 'Resource', 'Receive', 'TX', 'TW', 'Event'};
    structures = cellfun(@(name) evalin('base', name), names, 'UniformOutput', false);
    described = rtelasto_channel_meta(structures{:});
    rtelasto_bind();
    meta = described;
end
rtelasto_mex('send', RcvData, meta);
end
